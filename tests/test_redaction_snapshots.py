"""Snapshots: the same of equal values, whatever was captured before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings

from the_edge_obs.context import FlowState
from the_edge_obs.event import dumps
from the_edge_obs.redaction.snapshots import snapshot
from the_edge_obs.redaction.texts import scrub
from the_edge_obs.secrets.keys import KeyClasses

from .strategies import FLOW
from .test_redaction_payloads import PLAIN_VALUES, VALUES

LONG = {"note": "x" * 8_193, "x-api-key": "x" * 8_192}
KNOWN = ("note", "x-api-key", "before", "name", "model", "content", "role")


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example({**LONG, "new": 1})
@example({"before": LONG, "new": 1})
@example({**LONG, "name": "n", "value": 1})
@example({"before": [LONG], 7: 1})
@example({"before": ["x" * 8_192] * 4, "note": "x" * 100, "new": 1})
@given(VALUES | PLAIN_VALUES)
def test_new_keys_and_known_keys_give_the_same(value: Any) -> None:
    """A dict with a new key is read again from its beginning, and nothing in it may look different for what came later in it."""
    classes, first, second = KeyClasses(), FlowState(FLOW, "x"), FlowState(FLOW, "x")
    for key in KNOWN:
        classes.classify(key)
    taken = snapshot(value, first, classes)
    again = snapshot(value, second, classes)
    assert dumps(scrub(again, second.taints)) == dumps(scrub(taken, first.taints))
    assert first.taints == second.taints
