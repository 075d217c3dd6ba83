"""Whether anything is observed: what an integration asks before it does anything else."""

from __future__ import annotations

import logging
from typing import Final

from .. import is_configured
from ..event import ROOT_NODE

_LOGGER: Final = logging.getLogger(f"tea.{ROOT_NODE}")


def is_observing() -> bool:
    """Tell whether flows are logged, or at least their errors: one check of a level if they are, a second one if not."""
    return _LOGGER.isEnabledFor(logging.INFO) or is_configured()
