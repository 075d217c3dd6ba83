"""The OpenTelemetry SDK: a span a node, with input and output as JSON attributes, which is how it takes nested values.

``SimpleSpanProcessor`` and ``BatchSpanProcessor`` into its ``InMemorySpanExporter``; files by its ``ConsoleSpanExporter``. The
batch contender's round includes the flush. Filtered means sampled out, off the no-op provider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import NoOpTracerProvider

from .base import Contender, Seen, copied


def _json(value: Any) -> str:
    return orjson.dumps(copied(value)).decode()


class WithOpenTelemetry(Contender):
    """Each span is exported as it ends."""

    levels = ("info", "warn", "off")
    logs_flows = True

    def __init__(self, capacity: int = 10_000, folder: Path | None = None, level: str = "info") -> None:
        super().__init__(capacity, folder, level)
        self.exporter = InMemorySpanExporter()
        self.file = None if folder is None else (folder / "opentelemetry.jsonl").open("a", encoding="utf-8")
        self.provider = TracerProvider(sampler=ALWAYS_OFF if level == "warn" else ALWAYS_ON, shutdown_on_exit=False)
        self.provider.add_span_processor(self._processor(self.exporter))
        if self.file:
            write = ConsoleSpanExporter(out=self.file, formatter=lambda span: span.to_json(indent=None) + "\n")
            self.provider.add_span_processor(self._processor(write))
        self.tracer = (NoOpTracerProvider() if level == "off" else self.provider).get_tracer("benchmark")

    def _processor(self, exporter: Any) -> Any:
        return SimpleSpanProcessor(exporter)

    def observe(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        start, json, wanted = self.tracer.start_as_current_span, _json, self.level == "info"

        def observed(params: Any, state: Any, ctx: Any) -> Any:
            if not wanted:
                with start(node):
                    return fn(params, state, ctx)
            with start(node, attributes={"input": json(params)}) as span:
                result = fn(params, state, ctx)
                span.set_attribute("output", json(result))
            return result

        return observed

    def observe_async(self, fn: Callable[..., Any], node: str) -> Callable[..., Any]:
        start, json = self.tracer.start_as_current_span, _json

        async def observed(params: Any, state: Any, ctx: Any) -> Any:
            with start(node, attributes={"input": json(params)}) as span:
                result = await fn(params, state, ctx)
                span.set_attribute("output", json(result))
            return result

        return observed

    @contextmanager
    def flow(self) -> Iterator[tuple[Any, Any]]:
        with self.block() as span:
            context = span.get_span_context()
            yield context.trace_id, context.span_id

    def block(self) -> Any:
        return self.tracer.start_as_current_span("flow")

    def events(self, flow_id: Any) -> list[Seen]:
        found: list[Seen] = []
        for span in self.exporter.get_finished_spans():
            if span.context.trace_id == flow_id:
                parent = span.parent and span.parent.span_id
                found += _pair(flow_id, span.context.span_id, parent, span.name, span.attributes)
        return found

    def written(self) -> list[Seen]:
        found: list[Seen] = []
        for line in self.lines():
            ids = [int(text, 16) if text else None for text in _ids(line)]
            found += _pair(*ids, line["name"], line["attributes"])
        return found

    def clear(self) -> None:
        self.exporter.clear()

    def close(self) -> None:
        self.provider.shutdown()
        if self.file:
            self.file.close()


def _ids(line: dict[str, Any]) -> tuple[Any, Any, Any]:
    return line["context"]["trace_id"], line["context"]["span_id"], line["parent_id"]


def _pair(flow_id: Any, span_id: Any, parent_id: Any, node: str, attributes: Any) -> list[Seen]:
    values = [orjson.loads(attributes[key]) if key in attributes else None for key in ("input", "output")]
    return [Seen(flow_id, span_id, parent_id, node, kind, data) for kind, data in zip(("entry", "exit"), values, strict=True)]


class WithOpenTelemetryBatch(WithOpenTelemetry):
    """Spans are queued and exported by another thread; the queue holds a whole round, so that nothing is dropped."""

    levels = ("info",)
    logs_flows = False  # it does the work of a flow in another thread

    def _processor(self, exporter: Any) -> Any:
        return BatchSpanProcessor(exporter, max_queue_size=1_000_000, max_export_batch_size=512)

    def finish(self) -> None:
        self.provider.force_flush()
