"""Whether anything is observed: what an integration asks before it does anything else."""

from __future__ import annotations

import logging
from typing import Final

from .. import is_configured
from ..event import ROOT_NODE

_ROOT: Final = logging.getLogger(f"tea.{ROOT_NODE}")


def is_observing() -> bool:
    """Tell whether flows are logged, or at least their errors.

    Asked for each request and task, so the cheap answer comes first.
    """
    return _ROOT.isEnabledFor(logging.INFO) or is_configured()
