"""What writes a log, as the entry of a root span names it: the runtime, and the resource (host, process, service)."""

from __future__ import annotations

import os
import platform
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..context import FlowState, at_fork
from ..event import SCHEMA_VERSION
from ..redaction.snapshots import snapshot
from ..secrets.policies import BUILT_IN, Policy, process_policy

__all__ = ["resource", "runtime", "version"]


@lru_cache(maxsize=1)
def runtime() -> str:
    """Return the runtime that writes these logs, such as ``the_edge_obs/0.1.0 python/3.11.7``."""
    return f"the_edge_obs/{version()} python/{platform.python_version()}"


def version() -> str:
    """Return the version of this package, or ``unknown``."""
    try:
        from importlib import metadata

        return metadata.version("the_edge_obs")
    except Exception:  # noqa: BLE001 - not installed, or no file can be opened: the flow begins in any case
        return "unknown"


def resource() -> dict[str, Any]:
    """Return the resource that writes these logs: a dict with ``host``, ``pid`` and ``service``, as it was at the first flow."""
    return dict(_resource())


@lru_cache(maxsize=1)
def _resource() -> dict[str, Any]:
    return {"host": _host(), "pid": os.getpid(), "service": os.environ.get("OTEL_SERVICE_NAME") or _program()}


def resource_data(flow: FlowState) -> dict[str, Any]:
    """Return a snapshot of ``{"resource": ...}``. Flows without their own redaction policy share one."""
    if flow.taints.policy is None:
        return _shared(process_policy())
    copy: dict[str, Any] = snapshot({"resource": _resource()}, flow)
    return copy


def shared_root_data(flow: FlowState) -> dict[str, Any] | None:
    """Return the data of the entry of a root about which nothing more is known; None while a redaction policy is active.

    Flows with the same name share it.
    """
    is_plain = flow.taints.policy is None and process_policy() is BUILT_IN
    return _root_data(flow.name) if is_plain else None


@lru_cache(maxsize=64)
def _root_data(name: str) -> dict[str, Any]:
    about = {"name": name, "schema_version": SCHEMA_VERSION, "runtime": runtime()}
    return {**snapshot(about), **_shared(BUILT_IN)}


@lru_cache(maxsize=8)
def _shared(policy: Policy) -> dict[str, Any]:
    """Return the snapshot under the policy of the process."""
    copy: dict[str, Any] = snapshot({"resource": _resource()})
    return copy


def forget() -> None:
    """Forget the resource, because a forked child has another pid; the next flow reads it again."""
    for cache in (_resource, _shared, _root_data):
        cache.cache_clear()


at_fork(after_in_child=forget)


@lru_cache(maxsize=1)
def _host() -> str:
    return platform.node() or "unknown"


@lru_cache(maxsize=1)
def _program() -> str:
    """Return the program's name: its file, or the package that ``python -m`` runs, without the folder."""
    path = Path(sys.argv[0] if sys.argv else "")
    name = path.parent.name if path.stem == "__main__" else path.stem
    return name if name and name != "-c" else "python"
