"""OpenAI's SDK: each call of a model is a span, whichever endpoint the client talks to.

Needs the extra ``openai``. What is observed is the one method through which every call of a client goes, ``request``. So all ways
to call are covered (``create``, ``parse``, ``stream``, raw and streaming responses, ``post``), and none of them is touched.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from importlib import import_module
from types import MethodType
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet

from .. import ConfigurationError, MissingExtraError
from ._openai_calls import begun, is_observed, report, report_later

__all__ = ["instrument"]

_ABSENT: Final = object()


def instrument(client: Any = None) -> Callable[[], None]:
    """Observe the calls of models by OpenAI's SDK, and return the undo.

    A call of chat completions or responses is a span ``llm.call``, one of embeddings ``embedding.call``. The input is the body of
    the request and the ``base_url``. The output is that of the action ``llm.call``: ``content``, ``model``, ``usage``,
    ``finish_reason``, ``tool_calls``. A stream is one span, which ends with its last chunk or when it is closed. It is asked for
    usage, and the chunk that the caller did not ask for is left out. Errors are raised unchanged.

    Calling this again for the same client changes nothing until all undos were called.

    Args:
        client: The client to observe, sync or async, and what its ``with_options`` and ``copy`` return. Default None: all
            clients, also those made before.

    Returns:
        A function that restores the client, or the SDK.

    Raises:
        MissingExtraError: The SDK is not installed.
        ConfigurationError: The object is not a client, or the SDK is too old.

    Example:
        >>> from the_edge_obs.integrations.openai import instrument
        >>> undo = instrument()
    """
    try:
        sdk: Any = import_module("openai")  # not this module: that is the_edge_obs.integrations.openai
        kinds = (sdk.OpenAI, sdk.AsyncOpenAI)
    except ImportError as error:
        raise MissingExtraError("integrations.openai", "openai") from error
    except AttributeError as error:
        raise ConfigurationError("this version of openai is too old; install openai 1.40 or newer") from error
    if client is None:
        undos = [_observed(kind, is_async=kind is kinds[1]) for kind in kinds]

        def undo_all() -> None:
            for undo in undos:
                undo()

        return undo_all
    if not isinstance(client, kinds):
        raise ConfigurationError(
            f"{client!r} is not a client of openai; give an OpenAI or AsyncOpenAI client, or nothing for all"
        )
    return _observed(client, is_async=isinstance(client, kinds[1]))


# --- replacing attributes, and restoring them ---

_changing: Final = threading.RLock()


class _Replaced:
    """What is replaced on a class, or on a client and its copies, as long as it has owners."""

    def __init__(self) -> None:
        self.owners: set[object] = set()
        self.members: WeakSet[Any] = WeakSet()
        self._before: WeakKeyDictionary[Any, dict[str, tuple[Any, Any]]] = WeakKeyDictionary()

    def put(self, target: Any, **attributes: Any) -> None:
        """Replace attributes of a class or a client."""
        self.members.add(target)
        own = vars(target)
        self._before[target] = {name: (own.get(name, _ABSENT), ours) for name, ours in attributes.items()}
        for name, ours in attributes.items():
            setattr(target, name, ours)

    def is_on(self, target: Any) -> bool:
        """Tell whether nobody has taken the attributes away."""
        return all(vars(target).get(name) is ours for name, (_, ours) in self._before[target].items())

    def restore(self) -> None:
        """Restore the attributes, but for those that other code has replaced since: it calls ours, which pass the call on."""
        for target in list(self.members):
            for name, (before, ours) in self._before.pop(target).items():
                if vars(target).get(name) is ours:
                    if before is _ABSENT:
                        delattr(target, name)
                    else:
                        setattr(target, name, before)
        self.members.clear()


_replaced: Final[WeakKeyDictionary[Any, _Replaced]] = WeakKeyDictionary()
_ORIGINAL: Final = "__original__"  # of our method of a class: what it replaces


def _observed(target: Any, *, is_async: bool) -> Callable[[], None]:
    """Observe a class of clients or one client, and return the undo."""
    owner = object()
    with _changing:
        replaced = _replaced.get(target)
        if replaced is None or not replaced.owners or not replaced.is_on(target):
            replaced = _replaced[target] = _Replaced()
            if isinstance(target, type):
                _put_on_class(replaced, target, is_async)
            else:
                _put_on_client(replaced, target, is_async)
        replaced.owners.add(owner)

    def undo() -> None:
        with _changing:
            if owner in replaced.owners:
                replaced.owners.discard(owner)
                if not replaced.owners:
                    replaced.restore()

    return undo


def _put_on_class(replaced: _Replaced, kind: Any, is_async: bool) -> None:
    original = kind.request
    observed = _observing(original, original, replaced, is_async)
    setattr(observed, _ORIGINAL, original)
    replaced.put(kind, request=observed)


def _put_on_client(replaced: _Replaced, client: Any, is_async: bool) -> None:
    """Observe a client and the copies that it makes. A call that its class observes too is one span."""
    before = vars(client).get("request")

    def bare(self: Any, *args: Any, **kwargs: Any) -> Any:
        if before is not None:
            return before(*args, **kwargs)
        method = type(self).request
        return (getattr(method, _ORIGINAL, method) if replaced.owners else method)(self, *args, **kwargs)

    def copying(copy: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(copy)
        def copied(*args: Any, **kwargs: Any) -> Any:
            made = copy(*args, **kwargs)
            with _changing:
                if replaced.owners:
                    _replaced[made] = replaced
                    _put_on_client(replaced, made, is_async)
            return made

        return copied

    copies = {name: copying(getattr(client, name)) for name in ("copy", "with_options")}
    observed = _observing(getattr(client.request, "__func__", client.request), bare, replaced, is_async)
    replaced.put(client, request=MethodType(observed, client), **copies)


# --- calls ---


def _observing(original: Any, bare: Callable[..., Any], replaced: _Replaced, is_async: bool) -> Any:
    """Return the method that observes what a method does, with its name and signature.

    While observability is off it asks for the levels, and calls ``bare``: all that makes a span of a request is in ``Call``.
    """

    @functools.wraps(original)
    def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = begun(self, args, kwargs) if is_observed() and replaced.owners else None
        if call is None:
            try:
                result = bare(self, *args, **kwargs)
            except BaseException as error:
                if replaced.owners:
                    report(self, args, kwargs, error)
                raise
            return report_later(args, kwargs, result) if replaced.owners and kwargs.get("stream") else result
        for attempt in call.attempts():
            with attempt:
                attempt.result = bare(self, *attempt.args, **attempt.kwargs)
        return call.finish(attempt.result)

    @functools.wraps(original)
    async def request_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = begun(self, args, kwargs) if is_observed() and replaced.owners else None
        if call is None:
            try:
                result = await bare(self, *args, **kwargs)
            except BaseException as error:
                if replaced.owners:
                    report(self, args, kwargs, error)
                raise
            return report_later(args, kwargs, result) if replaced.owners and kwargs.get("stream") else result
        for attempt in call.attempts():
            with attempt:
                attempt.result = await bare(self, *attempt.args, **attempt.kwargs)
        return call.finish(attempt.result)

    return request_async if is_async else request
