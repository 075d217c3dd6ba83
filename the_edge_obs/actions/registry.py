"""The builtin actions by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

Registry: TypeAlias = Mapping[str, Callable[..., Any]]
"""Actions by name."""


def builtin_registry() -> dict[str, Callable[..., Any]]:
    """Return a new dict of the builtin actions by name.

    Each is a function ``fn(state, *, <parameters>)``, to which an engine can also pass ``config``, ``node`` and ``graph``;
    ``the_edge_obs.instrument`` instruments the dict. The actions are imported here, not with the package.
    """
    from . import file, http, json, llm, memory, obs, web

    actions: dict[str, Callable[..., Any]] = {
        "file.read": file.file_read,
        "file.write": file.file_write,
        "http.get": http.http_get,
        "http.post": http.http_post,
        "json.parse": json.json_parse,
        "json.transform": json.json_transform,
        "llm.call": llm.llm_call,
        "llm.stream": llm.llm_stream,
        "memory.retrieve": memory.memory_retrieve,
        "memory.store": memory.memory_store,
        "obs.export": obs.obs_export,
        "obs.get_flow_log": obs.obs_get_flow_log,
        "obs.log_event": obs.obs_log_event,
        "obs.query": obs.obs_query,
        "web.fetch": web.web_fetch,
    }
    return {name: for_engines(action) for name, action in actions.items()}


_ENGINE_ARGUMENTS: Final = ("config", "node", "graph")


@functools.cache
def for_engines(action: Callable[..., Any]) -> Callable[..., Any]:
    """Return an action that engines can call: config, node and graph are dropped where it has no such parameter."""
    unknown = [name for name in _ENGINE_ARGUMENTS if name not in inspect.signature(action).parameters]

    @functools.wraps(action)
    def called(*args: Any, **kwargs: Any) -> Any:
        for name in unknown:
            kwargs.pop(name, None)
        return action(*args, **kwargs)

    return called
