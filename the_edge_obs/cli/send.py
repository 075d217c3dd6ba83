"""``tea-obs send``: send the spans of a log to a receiver of OpenTelemetry's protocol."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from ..errors import ConfigurationError
from ..jsonl import Skipped
from ..text import counted, printable
from ._progress import Progress
from ._sources import add_log, read
from ._terminal import DONE

NAME: Final = "send"
HELP: Final = "send a log to a receiver of OpenTelemetry's protocol"
DESCRIPTION: Final = """\
Send the spans of a log to a receiver of OpenTelemetry's protocol (OTLP over HTTP),
such as Phoenix, MLflow, Jaeger or the Collector. Needs the extra otel. Ids are those
of the log, whenever and however often it is sent. Spans that never ended, as in the
log of a killed run, are sent and marked."""
EPILOG: Final = """\
examples:
  tea-obs send logs --to http://localhost:6006
  tea-obs send run.jsonl --to http://localhost:5000 --header x-mlflow-experiment-id=1
  tea-obs send run.jsonl --to http://localhost:4318 --no-content
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_log(parser)
    parser.add_argument("--to", metavar="URL", required=True, help="the receiver, without /v1/traces")
    parser.add_argument(
        "--header", metavar="NAME=VALUE", action="append", default=[], help="a header of each request; may be repeated"
    )
    parser.add_argument(
        "--no-content", action="store_true", help="leave out inputs, outputs, messages of models and texts of log events"
    )


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    from ..integrations.otel import send_events

    skipped, sent = Skipped(), 0
    with Progress("spans") as progress:
        for count in send_events(
            read(args.log, skipped), skipped.dropped, args.to, _headers(args.header), content=not args.no_content
        ):
            sent += count
            progress(sent)
    print(f"{printable(args.to)}: {counted(sent, 'span')} sent")
    return DONE


def _headers(given: Sequence[str]) -> dict[str, str] | None:
    headers = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"--header {name!r} has no value; write NAME=VALUE")
        headers[name] = value
    return headers or None
