"""W3C Trace Context: the headers that let a flow go on in another process."""

from __future__ import annotations

import ast
import pickle
import socket
import subprocess
import sys
import threading
import uuid
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.context import RemoteParent, SpanContext
from the_edge_obs.errors import ConfigurationError


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(st.uuids(), st.integers(1, 2**64 - 1))
def test_traceparent_goes_round(flow: uuid.UUID, number: int) -> None:
    """What inject writes, extract reads, in any case of the header's name."""
    parent = RemoteParent(str(flow), number)
    if not flow.int:
        return
    text = f"00-{flow.hex}-{number:016x}-01"
    assert obs.extract({"TraceParent": text}) == parent
    with obs.flow(parent=parent) as run:
        assert run.flow_id == str(flow)
        headers: dict[str, str] = {}
        assert obs.inject(headers) is headers
        sent = obs.extract(headers)
        span = obs.current()
        assert span is not None
        assert sent == RemoteParent(str(flow), span.number)
        assert span.parent_id == SpanContext(span.flow, number, None, "", None).span_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
        "ff-" + "1" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "A" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "1" * 16 + "-01-more",
        "00-" + "1" * 31 + "-" + "1" * 16 + "-01",
        None,
        7,
    ],
)
def test_an_invalid_traceparent_is_none(text: Any) -> None:
    """W3C Trace Context, section 3.2.2: what is invalid is ignored, not raised."""
    assert obs.extract({"traceparent": text}) is None
    assert obs.extract({}) is None


def test_a_future_version_of_traceparent_is_read() -> None:
    """A higher version may have further fields; the first four are read."""
    text = "01-" + "1" * 32 + "-" + "2" * 16 + "-00-extra"
    assert obs.extract({"traceparent": text}) == RemoteParent(
        "11111111-1111-1111-1111-111111111111", 0x2222222222222222, trace_flags=0
    )


# --- the cases of W3C's own test harness (https://github.com/w3c/trace-context/tree/main/test), levels 1 and 2, strict ---

TRACE, SPAN = "12345678901234567890123456789012", "1234567890123456"
OWN_ID = "0c3b1f4e-9a52-4d6e-8f10-2b7c5d9e4a31"
VALID = f"00-{TRACE}-{SPAN}-01"
KEY = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
VALUE = "".join(map(chr, [*range(0x20, 0x2C), *range(0x2D, 0x3D), *range(0x3E, 0x7F)]))


def served(headers: list[tuple[str, str]]) -> dict[str, str]:
    """Return what a service sends on that got such headers: its own flow's, or the remote one's."""
    with obs.flow("service", parent=obs.extract(headers)):
        return dict(obs.inject({}))


@pytest.mark.slow
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", f"00-{TRACE[:-1]}1-{SPAN}-01"), ("traceparent", VALID)],  # duplicated
        [("traceparent", VALID), ("TraceParent", VALID)],
        [("trace-parent", VALID)],
        [("trace.parent", VALID)],
        [("traceparent", f"{VALID}.")],
        [("traceparent", f"{VALID}-what-the-future-will-be-like")],
        [("traceparent", f"cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like")],
        [("traceparent", f"ff-{TRACE}-{SPAN}-01")],
        *([("traceparent", f"{version}-{TRACE}-{SPAN}-01")] for version in (".0", "0.", "000", "0000", "0")),
        *(
            [("traceparent", f"00-{trace}-{SPAN}-01")]
            for trace in ("0" * 32, "." + TRACE[1:], TRACE[:-1] + ".", TRACE + "3", TRACE[1:])
        ),
        *(
            [("traceparent", f"00-{TRACE}-{span}-01")]
            for span in ("0" * 16, "." + SPAN[1:], SPAN[:-1] + ".", SPAN + "7", SPAN[1:])
        ),
        *([("traceparent", f"00-{TRACE}-{SPAN}-{flags}")] for flags in (".0", "0.", "001", "1")),
        [("tracestate", "foo=1")],
    ],
)
def test_a_service_starts_anew(headers: list[tuple[str, str]]) -> None:
    """Without one valid ``traceparent`` the trace is a new one, and a ``tracestate`` beside it is dropped."""
    version, trace, span, flags = served(headers)["traceparent"].split("-")
    assert (version, flags, uuid.UUID(trace).version) == ("00", "01", 4)
    assert (trace == TRACE, span == SPAN) == (False, False)
    assert "tracestate" not in served(headers)


@pytest.mark.parametrize("name", ["traceparent", "TraceParent", "TrAcEpArEnT", "TRACEPARENT"])
@pytest.mark.parametrize(
    "value",
    [
        VALID,
        f"cc-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-what-the-future",
        f" {VALID}",
        f"\t{VALID}",
        f"{VALID} ",
        f"\t {VALID} \t",
    ],
)
def test_a_service_goes_on(name: str, value: str) -> None:
    """The trace is the same, the span is its own."""
    version, trace, span, flags = served([(name, value)])["traceparent"].split("-")
    assert (version, trace, flags, span == SPAN) == ("00", TRACE, "01", False)


@pytest.mark.parametrize(("sent", "kept"), [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("ff", "03"), ("fc", "00")])
def test_flags_are_kept(sent: str, kept: str) -> None:
    """Sampled and random go on as they came; bits without a meaning are sent as 0."""
    assert served([("traceparent", f"00-{TRACE}-{SPAN}-{sent}")])["traceparent"][-2:] == kept


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        (["foo=1,bar=2"], "foo=1,bar=2"),
        ([""], None),
        (["foo=1", ""], "foo=1"),
        (["", "foo=1"], "foo=1"),
        (["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
        (["foo=1,foo=1"], "foo=1"),
        (["foo=1,foo=2"], "foo=1"),
        (["foo=1", "foo=2"], "foo=1"),
        ([f"{KEY}={VALUE}"], f"{KEY}={VALUE}"),
        ([f"{KEY}@a-z0-9_-*/={VALUE}"], f"{KEY}@a-z0-9_-*/={VALUE}"),
        (["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
        (["\t foo=1 \t"], "foo=1"),
        (["foo =1"], None),
        (["FOO=1"], None),
        (["foo.bar=1"], None),
        (["foo@=1,bar=2"], "foo@=1,bar=2"),
        (["@foo=1,bar=2"], None),
        (["foo@bar@baz=1,bar=2"], "foo@bar@baz=1,bar=2"),
        ([",".join(f"bar{n}={n}" for n in range(16)), ",".join(f"baz{n}={n}" for n in range(16))],
         ",".join([*(f"bar{n}={n}" for n in range(16)), *(f"baz{n}={n}" for n in range(16))])),
        ([",".join(f"bar{n}={n}" for n in range(33))], None),
        (["foo=1", "z" * 256 + "=1"], "foo=1," + "z" * 256 + "=1"),
        (["foo=1", "z" * 257 + "=1"], None),
        (["foo=bar=baz"], None),
        (["foo=,bar=3"], None),
        (["foo=1\r\nX-Forged: 1"], None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["tracestate", "TraceState"])
def test_tracestate_is_carried(name: str, states: list[str], kept: str | None) -> None:
    """Several headers are one list, in order; one with a mistake in it is dropped, and the trace goes on."""
    headers = served([("traceparent", VALID), *((name, state) for state in states)])
    assert (headers["traceparent"][3:35], headers.get("tracestate")) == (TRACE, kept)
    assert "tracestate" not in served([("traceparent", VALID), ("trace-state", "foo=1")])


def test_each_request_of_a_service_has_its_own_span(ring: obs.RingBufferHandler) -> None:
    """Three calls of one request: one trace, three spans."""
    with obs.flow("service", parent=obs.extract({"traceparent": VALID})):
        sent = []
        for _ in range(3):
            with obs.span("call"):
                sent.append(obs.inject({})["traceparent"].split("-"))
    assert {trace for _, trace, _, _ in sent} == {TRACE}
    assert len({span for _, _, span, _ in sent}) == 3


@pytest.mark.slow
def test_a_real_server_goes_by_what_its_client_sent() -> None:
    """Over a socket, with headers that come twice: http.server's headers are asked as they are."""
    answers: list[dict[str, str]] = []

    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with obs.flow("service", parent=obs.extract(self.headers)):
                answers.append(dict(obs.inject({})))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    two = f"traceparent: {VALID}\r\nTracestate: a=1\r\ntracestate: b=2\r\n"
    twice = f"traceparent: {VALID}\r\nTraceparent: 00-{TRACE}-{SPAN}-00\r\ntracestate: a=1\r\n"
    try:
        for lines in (two, twice):
            with socket.create_connection(server.server_address[:2], timeout=30) as client:
                client.sendall(f"GET / HTTP/1.0\r\n{lines}\r\n".encode())
                client.makefile("rb").read()
    finally:
        server.shutdown()
        server.server_close()
    assert [(sent["traceparent"][3:35] == TRACE, sent.get("tracestate")) for sent in answers] == [
        (True, "a=1,b=2"),
        (False, None),
    ]


# --- what people hand over ---


@pytest.mark.parametrize(
    "headers",
    [
        [(b"host", b"x"), (b"traceparent", VALID.encode()), (b"tracestate", b"a=1")],  # ASGI
        {"TRACEPARENT": VALID, "TRACESTATE": "a=1"},  # environment variables
        {"Traceparent": [VALID], "tracestate": ["a=1"]},  # a mapping of lists
        [("other", None), ("traceparent", VALID), ("tracestate", "a=1"), (7, 8)],
    ],
)
def test_headers_in_any_form(headers: Any) -> None:
    """Pairs or a mapping, texts or bytes."""
    assert obs.extract(headers) == RemoteParent(str(uuid.UUID(TRACE)), int(SPAN, 16), 1, "a=1")


def test_no_headers_are_no_parent() -> None:
    """Brokers give None for a message without headers."""
    assert obs.extract(None) is None


@pytest.mark.parametrize("headers", [42, "traceparent: x", [1, 2], object()])
def test_what_is_not_headers_is_refused(headers: Any) -> None:
    """The error says what to hand over."""
    with pytest.raises(ConfigurationError, match="neither a mapping nor pairs; give those of a request"):
        obs.extract(headers)


def test_an_error_does_not_repeat_headers() -> None:
    """They may hold credentials."""
    for use in (obs.extract, obs.inject):
        with pytest.raises(ConfigurationError, match="headers of type str") as caught:
            use("authorization: k-93jf8sj2kd92")  # type: ignore[arg-type]
        assert "k-93jf8sj2kd92" not in str(caught.value)


@pytest.mark.parametrize("headers", [None, 42, [], (), "x"])
def test_what_takes_no_headers_is_refused(headers: Any) -> None:
    """In and outside a flow alike."""
    with pytest.raises(ConfigurationError, match=r"cannot be added to; give a dict"):
        obs.inject(headers)


def test_inject_replaces_what_is_there() -> None:
    """Headers that are passed on from a request get no second ``traceparent``, and no stale ``tracestate``, in any case."""
    headers = {"Traceparent": VALID, "TRACESTATE": "a=1", "Accept": "*/*"}
    with obs.flow() as run:
        obs.inject(headers)
    assert sorted(headers) == ["Accept", "traceparent"]
    assert headers["traceparent"][3:35] == run.flow_id.replace("-", "")
    message = Message()
    message["Traceparent"] = VALID
    with obs.flow():
        obs.inject(message)  # type: ignore[arg-type]
    assert len(message.get_all("traceparent", [])) == 1


@pytest.mark.slow
def test_flags_and_state_go_into_other_processes() -> None:
    """What ``wrap`` carries through a pickle sends on what came in."""
    with obs.flow(parent=obs.extract({"traceparent": f"00-{TRACE}-{SPAN}-02", "tracestate": "a=1"})):
        data = pickle.dumps(obs.wrap(obs.inject))
    code = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read())({}))"
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    headers = ast.literal_eval(done.stdout.decode())
    assert (headers["traceparent"][3:35], headers["traceparent"][-2:], headers["tracestate"]) == (TRACE, "02", "a=1")


# --- the traces of other systems in the same process ---


def test_flows_continue_the_trace_that_runs_and_the_undo_ends_that(ring: obs.RingBufferHandler) -> None:
    """Of several systems the first that has a span counts; a flow with an id of its own has a link to the span."""
    there: list[str] = []
    undo_none = obs.continue_traces(lambda: None)
    undo = obs.continue_traces(lambda: obs.extract({"traceparent": there[0]}) if there else None)
    with obs.flow("before") as before:
        pass
    there.append(f"00-{TRACE}-{SPAN}-01")
    with obs.flow("in a trace") as run, obs.flow("inner") as inner:
        pass
    with obs.flow("own id", flow_id=OWN_ID) as own:
        pass
    undo()
    undo()  # a second call does nothing
    undo_none()
    with obs.flow("after") as after:
        pass
    (root,) = obs.query(run.flow_id, node="flow", event_type="entry")
    assert (run.flow_id, root["parent_id"]) == (str(uuid.UUID(TRACE)), f"{run.flow_id[:19]}{SPAN[:4]}-{SPAN[4:]}"[:36])
    assert run.flow_id not in (before.flow_id, inner.flow_id, after.flow_id)
    (linked,) = obs.query(own.flow_id, node="flow", event_type="entry")
    assert (own.flow_id, linked["data"]["outer"]["flow_id"]) == (OWN_ID, str(uuid.UUID(TRACE)))


def test_another_system_that_fails_is_reported(ring: obs.RingBufferHandler, capsys: pytest.CaptureFixture[str]) -> None:
    """The flow begins as it would without it."""

    def broken() -> None:
        raise LookupError("no tracer")

    undo = obs.continue_traces(broken)
    with obs.flow("alone") as run:
        pass
    undo()
    (root,) = obs.query(run.flow_id, node="flow", event_type="entry")
    assert root["parent_id"] is None
    assert capsys.readouterr().err == "the_edge_obs: asking for a foreign parent failed: LookupError: no tracer\n"
