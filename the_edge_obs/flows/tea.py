"""What agents of The Edge Agent may have that needs its own engine: they are refused, and told where they can be observed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from . import checks
from .spot import Spot

WAY: Final = (
    "this agent needs The Edge Agent's own engine; observe it there with "
    "tea run AGENT.yaml --actions-module the_edge_obs.integrations.tea"
)

TOP_LEVEL: Final = frozenset(
    "data endpoint extraction_schema input_schema output_schema semantic_probes validation_constraints validation_logging".split()
)
NODE: Final = frozenset("interrupt max_workers parallel_each script strategy streams".split())
FAN_OUT: Final = frozenset(["subgraph", "input"])
LANGUAGES: Final = frozenset(["lua", "prolog"])
PROVIDERS: Final = frozenset("anthropic azure gemini litellm llamacpp local shell".split())
CATEGORIES: Final = frozenset(
    "a2a academic agent auth bmad cache catalog checkpoint code context csv data embedding error firestore git github graph "
    "learn llamaextract ltm markdown neo4j notify opik plan rag ratelimit reason reflection retry schema secrets semtools "
    "session storage text textgrad tools trace validate vector".split()
)
"""Categories of actions that the engine has and this package does not."""

_CONFIG: Final = ("raise_exceptions", "interrupt_before", "interrupt_after", "checkpoint_dir", "checkpoint")


def way_for(given: object, names: Collection[str]) -> str:
    """Return the end of a message about something that only the engine has, or an empty text."""
    return f"; {WAY}" if isinstance(given, str) and given in names else ""


def refuse_unknown(spot: Spot, data: Mapping[Any, Any], known: Collection[str], theirs: Collection[str]) -> None:
    """Note every unknown key of a mapping, as ``checks.refuse_unknown`` does; a key of the engine is told where it works."""
    for key in data:
        if isinstance(key, str) and key in theirs and key not in known:
            spot.at(key).note(f"key {key!r} is not supported; {WAY}")
    checks.refuse_unknown(spot, {key: None for key in data if not (isinstance(key, str) and key in theirs)}, known)


def check_config(spot: Spot, data: Any) -> None:
    """Check the ``config`` block of an agent: what can be had here is taken, and everything else is explained.

    ``raise_exceptions`` changes nothing: an error that no ``on_error`` handles ends the run and is raised.
    """
    config = checks.mapping(spot, data)
    checks.refuse_unknown(spot, config, _CONFIG)
    spot.attempt(checks.truth, spot.key("raise_exceptions"), config.get("raise_exceptions", True))
    for key in ("interrupt_before", "interrupt_after", "checkpoint"):
        if config.get(key):
            spot.key(key).note(f"{config[key]!r} stops a run to resume it later, which no run does here; {WAY}")
