"""OpenTelemetry, both ways.

Out: spans of runs are sent to any receiver of OTLP, such as Phoenix, MLflow, Jaeger or the Collector. The official exporter
sends, as Protobuf over HTTP, so the standard variables ``OTEL_EXPORTER_OTLP_*`` apply where an argument is not given. In: what is
instrumented for OpenTelemetry joins the running flow. Needs the extra ``otel``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from .. import BatchHandler, ConfigurationError, ExportError, MissingExtraError, SpanRecord
from ..formats.otlp import CONVENTIONS, Translator, bridged
from ..formats.otlp_attributes import SENT_TO

if TYPE_CHECKING:
    from ._otel_sdk import Client

__all__ = ["OtlpHandler", "bridge"]

_PATH: Final = "/v1/traces"
WHY: Final = "the logger opentelemetry.exporter says why"


class OtlpHandler(BatchHandler):
    """Send spans to a receiver of OTLP over HTTP.

    In a block: ``{type: otlp, endpoint: http://localhost:4318}``. A receiver that is slow, dead or refuses spans does not hold
    the flow up: what could not be sent is counted, see ``BatchHandler``.

    Args:
        endpoint: The receiver, without ``/v1/traces``. Default None: ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` or
            ``OTEL_EXPORTER_OTLP_ENDPOINT``, otherwise http://localhost:4318.
        headers: Headers of each request, such as ``{"x-mlflow-experiment-id": "1"}``. Default None: those of the environment.
        service: The name of the service. Default None: ``OTEL_SERVICE_NAME``, otherwise the program's name.
        content: Whether inputs, outputs, messages of models and texts of log events are sent. Default True. Errors are sent in
            any case.
        names: The conventions for models and tools whose attributes are set. Default: ``gen_ai`` and ``openinference``.
        max_spans, exit_s, level: As in ``BatchHandler``.

    Raises:
        MissingExtraError: the extra ``otel`` is not installed.
        ConfigurationError: an argument is not valid.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        headers: Mapping[str, str] | None = None,
        service: str | None = None,
        content: bool = True,
        names: Iterable[str] = tuple(CONVENTIONS),
        max_spans: int = 8_192,
        exit_s: float = 2.0,
        level: int | str = logging.NOTSET,
    ) -> None:
        check_arguments(endpoint, headers, service, content)
        self._translator = Translator(content=content, names=names)
        self._client = client_of("the handler otlp", endpoint, headers, service)
        super().__init__(level, max_spans=max_spans, exit_s=exit_s)

    def send(self, spans: list[SpanRecord]) -> None:
        """Send spans, without those that an exporter of OpenTelemetry sends to the same receiver.

        Raises:
            ExportError: the receiver did not take them; the exporter has logged why.
        """
        own = [span for span in spans if self._client.receiver not in _list(bridged(span).get(SENT_TO))]
        if own and not self._client.send((self._translator.translate(span), None) for span in own):
            raise ExportError(f"the receiver of OTLP did not take them; {WHY}")

    def give_up(self) -> None:
        """End the exporter's wait for its next try."""
        self._client.shutdown()

    def after_fork(self) -> None:
        """Leave the connections to the parent."""
        self._client.renew()


def bridge(provider: Any = None) -> Callable[[], None]:
    """Have the spans of OpenTelemetry join the running flow, and return the undo.

    Whatever is instrumented for OpenTelemetry then is in the flow's tree: pydantic-ai, the instrumentations of OpenInference, and
    those of OpenTelemetry for HTTP clients and databases. A span's node is ``llm.call``, ``tool.NAME``, ``agent.NAME``,
    ``embedding``, ``retriever``, ``http.client``, ``db.query`` and so on, otherwise ``otel.NAME``; its ids are OpenTelemetry's.
    A flow's span is OpenTelemetry's current span while it runs. A flow that begins in a span of OpenTelemetry, and in no other
    flow, is its child, with the id of its trace.

    Outside flows, and in flows that nobody logs, OpenTelemetry is unchanged. Its exporters go on; ``OtlpHandler`` leaves out what
    one of them sends to the same receiver.

    Args:
        provider: The provider whose spans join: an SDK's ``TracerProvider``. Default None: the global one; if there is none, a
            new one becomes it.

    Returns:
        A function that undoes it. Spans that have joined are still ended. Further bridges to the same provider add nothing,
        and each has its undo.

    Raises:
        MissingExtraError: the extra ``otel`` is not installed.
        ConfigurationError: the provider takes no span processors.

    Example:
        >>> undo = bridge()
        >>> with obs.flow("ask") as run:
        ...     agent.run_sync("hi")
        >>> undo()
    """
    try:
        from ._otel_bridge import bridge as joined
    except ImportError as error:
        raise MissingExtraError("the bridge from OpenTelemetry", "otel") from error
    return joined(provider)


def client_of(feature: str, endpoint: str | None, headers: Mapping[str, str] | None, service: str | None) -> Client:
    """Return the official exporter behind what sends.

    Raises:
        MissingExtraError: the extra ``otel`` is not installed; the message names the feature.
    """
    try:
        from ._otel_sdk import Client
    except ImportError as error:
        raise MissingExtraError(feature, "otel") from error
    return Client(None if endpoint is None else _with_path(endpoint), headers, service)


def check_arguments(endpoint: object, headers: object, service: object, content: object) -> None:
    """Check what a handler or a sender was given.

    Raises:
        ConfigurationError: an argument is not valid; the message has no header's value, which may be a secret.
    """
    if endpoint is not None and not (isinstance(endpoint, str) and endpoint.startswith(("http://", "https://"))):
        raise ConfigurationError(
            f"endpoint {endpoint!r} is not the address of a receiver; write one such as http://localhost:4318"
        )
    pairs = headers.items() if isinstance(headers, Mapping) else () if headers is None else [(headers,)]
    if not all(isinstance(part, str) for pair in pairs for part in pair) or isinstance(headers, str):
        raise ConfigurationError("headers is not a mapping of texts to texts")
    if service is not None and not (isinstance(service, str) and service):
        raise ConfigurationError(f"service is {service!r}; it must be a name")
    if not isinstance(content, bool):
        raise ConfigurationError(f"content is {content!r}; allowed: true, false")


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _with_path(endpoint: str) -> str:
    return endpoint if endpoint.rstrip("/").endswith(_PATH) else endpoint.rstrip("/") + _PATH
