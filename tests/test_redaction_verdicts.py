"""What is remembered of texts: by all flows without secrets together, up to a number of characters, until something changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from the_edge_obs.context import FlowState
from the_edge_obs.redaction import verdicts
from the_edge_obs.redaction.texts import learn, scrub_text
from the_edge_obs.redaction.verdicts import FLOWS, Remembered, remembered
from the_edge_obs.secrets.policies import BUILT_IN, Policy, activate

CHAT = [{"role": "user", "content": f"{number} " + "x" * 440} for number in range(10)]


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Return the texts that are searched for secrets, with nothing remembered before or after."""
    texts: list[str] = []

    def search(text: str, taints: Any) -> str:
        texts.append(text)
        return scrub_text(text, taints)

    monkeypatch.setattr(verdicts, "scrub_text", search)
    activate(BUILT_IN)()
    yield texts
    activate(BUILT_IN)()


def flow(policy: Policy | None = None) -> FlowState:
    made = FlowState(str(uuid4()), "x")
    made.taints.policy = policy
    return made


def chars_of(known: Remembered) -> int:
    return sum(len(text) for text in known.clean if type(text) is str)


def test_flows_without_secrets_share_what_is_clean(searched: list[str]) -> None:
    """Each key and each text of a chat is searched once, however many flows send it."""
    texts = ["role", "content", *(text for message in CHAT for text in message.values() if text != "user")]
    for _ in range(3):
        assert remembered(flow()).marks_in(CHAT) == ()
    assert sorted(searched) == sorted([*texts, "user"])


def test_a_flow_with_secrets_remembers_by_itself(searched: list[str]) -> None:
    """What others found clean may have its secret in it; what is clean beside its secrets is so for all."""
    first, other = flow(), flow()
    assert remembered(first).marks_in(["see opaque-4711"]) == ()
    learn(other, ["opaque-4711"])
    assert remembered(other).marks_in(["see opaque-4711"]) is None
    assert remembered(other).marks_in({"new": 1}) == ()
    learn(first, ["opaque-4711"])
    assert remembered(first).marks_in(["see opaque-4711"]) is None
    assert remembered(flow()).marks_in({"new": 1}) == ()
    assert searched.count("new") == 1


def test_a_flow_with_secrets_takes_over_what_is_clean_without_them(searched: list[str]) -> None:
    """All of a dict at once, unless one of its own secrets is in a key or a text, whole or cut in half."""
    row = {"plain": "a rank", "other": "see opaque-4711", "cut": "opaque-99…[+7 chars]"}
    assert remembered(flow()).marks_in(row) == ()
    without = {key: text for key, text in row.items() if key != "cut"}
    for secret, value, is_clean in (
        ("opaque-4711", without, False),
        ("opaque-4712", without, True),
        ("opaque-998877", row, False),
    ):
        other, before = flow(), len(searched)
        learn(other, [secret])
        assert remembered(other).marks_in(value) == (() if is_clean else None)
        assert (len(searched) == before) is is_clean
    # A flow with a policy of its own has nothing in common with others.
    apart, before = flow(Policy(frozenset({"badge"}))), len(searched)
    learn(apart, ["opaque-4712"])
    assert remembered(apart).marks_in(without) == ()
    assert len(searched) == before + 4


def test_a_policy_has_verdicts_of_its_own(searched: list[str]) -> None:
    """That of the process drops what was shared, when it begins and when it ends; that of a flow keeps the flow apart."""
    badge, policy = ["badge: 4711-ab"], Policy(frozenset({"badge"}))
    assert remembered(flow()).marks_in(badge) == ()
    assert remembered(flow(policy)).marks_in(badge) is None
    undo = activate(policy)
    try:
        assert remembered(flow()).marks_in(badge) is None
        assert remembered(flow()).marks_in(["plain"]) == ()
    finally:
        undo()
    assert remembered(flow()).marks_in([*badge, "plain"]) == ()
    assert searched.count("plain") == 2


@pytest.mark.parametrize(("secrets", "most"), [([], 262_144), (["opaque-4711"], 65_536)], ids=["shared", "own"])
def test_long_texts_are_remembered_up_to_their_characters(secrets: list[str], most: int, searched: list[str]) -> None:
    """A flow's, and those of all flows without secrets together, whatever the number of flows."""
    one, sizes = flow(), []
    for number in range(200):
        at = one if secrets else flow()
        learn(at, secrets)
        known = remembered(at)
        assert known.marks_in([f"{number} " + "x" * 4_000]) == ()
        sizes.append(chars_of(known))
    assert max(sizes) <= most < max(sizes) + 4_004
    assert len(searched) == 200
    assert len(FLOWS) <= 64


def test_texts_and_keys_are_remembered_up_to_their_number(searched: list[str]) -> None:
    """1,024 of each."""
    known, texts, keys = remembered(flow()), 0, 0
    for number in range(3_000):
        assert known.marks_in({f"k{number}": f"t{number}"}) == ()
        texts, keys = max(texts, len(known.clean)), max(keys, len(known.clean_keys))
    assert (texts, keys, len(searched)) == (1_024, 1_024, 6_000)
