"""Planted secrets: random data with secrets in it goes through every way out, and none of them shows a trace."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import logging.handlers
import pickle
import queue
import sys
from collections import OrderedDict, UserDict, deque, namedtuple
from contextlib import ExitStack, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pythonjsonlogger.json import JsonFormatter as TheirJsonFormatter

import the_edge_obs as obs
from the_edge_obs.context import FlowState, new_flow_id
from the_edge_obs.event import dumps
from the_edge_obs.formats import FORMATS
from the_edge_obs.redaction.snapshots import MAX_ITEMS, MAX_STRING, snapshot
from the_edge_obs.redaction.texts import PLACEHOLDER, scrub, scrub_text

# --- by key, in every form of pair ---


@dataclasses.dataclass
class Login:
    user: str
    api_key: Any


Account = namedtuple("Account", ["user", "password"])


def leaving(value: Any) -> str:
    """Return what leaves of a value, as JSON."""
    flow = FlowState(new_flow_id(), "f")
    taken = snapshot(value, flow)
    return dumps(scrub(taken, flow.taints))


@pytest.mark.parametrize(
    "value",
    [
        [("Authorization", "Bearer opaque-4711")],
        [("Accept", "*/*"), ("X-Api-Key", "opaque-4711")],
        (("Cookie", "sid=opaque-4711"),),
        [["Set-Cookie", "opaque-4711"]],
        [(b"authorization", b"opaque-4711")],
        {("password", "opaque-4711")},
        {"name": "password", "value": "opaque-4711"},
        {"value": "opaque-4711", "name": "password"},
        {"Name": "DB_PASSWORD", "Value": "opaque-4711"},
        {"key": "api_key", "value": {"string": "opaque-4711"}},
        [{"header": "Authorization", "values": ["opaque-4711"]}],
        Login("ada", "opaque-4711"),
        Account("ada", "opaque-4711"),
        [Account("ada", ["opaque-4711"])],
        OrderedDict(password="opaque-4711"),
        UserDict(password="opaque-4711"),
        MappingProxyType({"password": "opaque-4711"}),
        deque([{"password": "opaque-4711"}]),
        {"a": [({"deep": {"client-secret": "opaque-4711"}},)]},
    ],
)
def test_a_secret_beside_its_key_in_any_form(value: Any) -> None:
    """Dicts, pairs, named pairs, fields of objects: the value is gone, and does not reappear in the flow."""
    assert "opaque-4711" not in leaving(value)
    flow = FlowState(new_flow_id(), "f")
    snapshot(value, flow)
    assert "opaque-4711" not in scrub_text("again opaque-4711", flow.taints)


@pytest.mark.parametrize(
    "value",
    [
        {"name": "city", "value": "Paris"},
        {"name": "max_tokens", "value": 12},
        {"name": "token", "value": 12},
        [("Accept", "text/html"), ("tokens", 3)],
        [["secret", "garden", "book"]],
        ["password", "email"],
        {"value": "password"},
    ],
)
def test_what_only_looks_like_a_pair_stays(value: Any) -> None:
    """Names of fields, counts and harmless pairs are kept."""
    assert PLACEHOLDER not in leaving(value)


@pytest.mark.parametrize(
    "text",
    [
        '{"password": "opaque 4711 words"}',
        "Login(user='ada', password='opaque 4711')",
        '{\\"password\\": \\"opaque 4711\\"}',
        "{'passwords': ['opaque 4711', 'b']}",
        "password_confirmation=opaque-4711",
        "Cookie: theme=dark; sid=opaque-4711",
        'Authorization: Digest username="ada", response="opaque-4711"',
        "postgres://ada:pa@opaque-4711@db/app",
        "https://h/p?auth=opaque-4711",
        "gsk_opaque4711" + "aB3" * 8,
        "xai-opaque4711" + "aB3" * 8,
        "whsec_opaque4711" + "aB3" * 8,
    ],
)
def test_shapes_of_secrets_in_texts(text: str) -> None:
    """Quoted, escaped, listed, with words in between: the whole value is taken out, and once is enough."""
    clean = scrub_text(text)
    assert "4711" not in clean
    assert scrub_text(clean) == clean


def test_keys_that_scrub_to_the_same_both_stay() -> None:
    """Two keys that are secrets themselves, by their shape, are two entries."""
    flow = FlowState(new_flow_id(), "f")
    first, second = "ghp_" + "aB3" * 12, "ghp_" + "cD4" * 12
    assert scrub({first: 1, second: 2, PLACEHOLDER: 3}, flow.taints) == {
        PLACEHOLDER: 1,
        f"{PLACEHOLDER}'": 2,
        f"{PLACEHOLDER}''": 3,
    }


def test_a_taint_inside_the_placeholder_does_no_harm() -> None:
    """A secret such as ``REDACTED`` does not take placeholders to pieces, and one in another is taken out once."""
    flow = FlowState(new_flow_id(), "f")
    snapshot({"password": ["REDACTED", "ACTE", "long-secret-word", "secret"]}, flow)
    assert scrub_text("a long-secret-word here", flow.taints) == f"a {PLACEHOLDER} here"


@pytest.mark.slow
@pytest.mark.parametrize("end", ["x", " "])
def test_a_long_secret_does_not_reappear_in_pieces(end: str) -> None:
    """What a text shows of a secret longer than any text is gone, wherever the secret begins in it."""
    flow = FlowState(new_flow_id(), "f")
    secret = "".join(f"{number:07d}{end}" for number in range(5_000))
    snapshot({"private_key": secret}, flow)
    shown = scrub(snapshot(f"key is {secret} and more", flow), flow.taints)
    assert not any(secret[at : at + 8] in shown for at in range(0, len(secret), 8))


@pytest.mark.slow
@pytest.mark.parametrize("filler", ["password=" + "x" * 90 + " ", "Bearer " + "y" * 80 + "\n"])
def test_the_end_of_what_is_looked_at_shows_no_half_secret(filler: str) -> None:
    """Secrets that are taken out move the end of the looked-at text up; the half secret there stays out."""
    secret = "sk-proj-" + "a1B2" * 6
    for shift in range(0, 60, 3):
        text = (filler * 300)[: 2 * MAX_STRING - 40 + shift] + " " + secret + " tail" * 9_000
        assert "sk-proj" not in leaving(text)


def test_a_long_key_is_scrubbed_before_it_is_cut() -> None:
    """A secret across the cut of a key leaves no half."""
    for shift in range(30):
        assert "hunter2" not in leaving({"x" * (200 + shift) + " password=hunter2hunter2 " + "y" * 400: 1})


def test_bytes_that_are_no_text_hide_no_secret_in_base64() -> None:
    """Binary data with a readable secret at its start is not shown."""
    assert leaving(b"\x00\xffpassword=hunter2") == f'"<18 bytes: {PLACEHOLDER}>"'


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def filtered(handler: logging.Handler) -> logging.Handler:
    handler.addFilter(obs.FlowContextFilter())
    return handler


# --- policies ---


@pytest.mark.slow
def test_a_policy_counts_for_everybody_until_its_undo() -> None:
    """Keys, safe keys and patterns; undos in any order; nothing is left."""
    value = {"cpf": "c-4711", "Session-Token": "public-1", "note": "AC-123456"}
    first = obs.configure({"redact": {"keys": ["CPF"]}})
    second = obs.configure({"redact": {"safe_keys": ["session_token"], "patterns": ["AC-[0-9]{6}"]}})
    assert json.loads(leaving(value)) == {"cpf": PLACEHOLDER, "Session-Token": "public-1", "note": PLACEHOLDER}
    first()
    assert json.loads(leaving(value)) == {"cpf": "c-4711", "Session-Token": "public-1", "note": PLACEHOLDER}
    second()
    assert json.loads(leaving(value)) == {"cpf": "c-4711", "Session-Token": PLACEHOLDER, "note": "AC-123456"}


def test_keys_come_before_safe_keys() -> None:
    """What somebody calls a secret nobody else can call harmless; nor what a function's own sanitize_keys name."""
    undos = [obs.configure({"redact": {"safe_keys": ["password"]}}), obs.configure({"redact": {"keys": ["password"]}})]
    try:
        assert json.loads(leaving({"password": "opaque"})) == {"password": PLACEHOLDER}
    finally:
        for undo in undos:
            undo()


def test_own_patterns_hold_for_what_is_read_after_the_undo() -> None:
    """The texts of messages, data, errors and other libraries' records are looked at when they are logged."""
    ring = obs.RingBufferHandler()
    other = logging.getLogger("other")
    other.addHandler(ring)
    logging.getLogger("tea").addHandler(ring)
    undo = obs.configure({"redact": {"patterns": ["AC-[0-9]{6}"]}})
    with suppress(ValueError), obs.flow() as run, obs.span("a", x="AC-123456", y=["z" * 9_000 + "AC-123456"]) as span:
        span.log("said AC-123456")
        other.warning("heard %s", "AC-123456")
        raise ValueError("AC-123456")
    undo()
    other.removeHandler(ring)
    logging.getLogger("tea").removeHandler(ring)
    assert len(ring.events(run.flow_id)) == 6
    assert "AC-123456" not in dumps(ring.events(run.flow_id))


def test_equal_secrets_can_be_told_to_be_equal() -> None:
    """The placeholder is one and the same for a secret, in any spelling and place, and another for another."""
    undo = obs.configure({"redact": {"correlate": True}})
    try:
        flow = FlowState(new_flow_id(), "f")
        values = {"password": 'it\'s "q" x', "api_key": "other-secret", "a": {"Authorization": "Bearer other-secret"}}
        first = scrub(snapshot(values, flow), flow.taints)
        assert first["password"] != first["api_key"] == first["a"]["Authorization"]
        assert scrub_text("has other-secret", flow.taints) == f"has {first['api_key']}"
        assert scrub_text(json.dumps(['it\'s "q" x']), flow.taints) == f'["{first["password"]}"]'
        assert scrub_text("sent Bearer other-secret") == f"sent Bearer {first['api_key']}"
        assert first["api_key"].startswith("[REDACTED:")
        assert len(first["api_key"]) == len("[REDACTED:]") + 12
        assert scrub(first, flow.taints) == first
    finally:
        undo()
    assert json.loads(leaving({"password": "x-4711"})) == {"password": PLACEHOLDER}


# --- every way out ---

SECRET = st.one_of(
    st.text(alphabet="abcdefghjkmnpqrstuvwxyzABCDEFGH23456789", min_size=10, max_size=20).map(lambda text: f"Zq{text}"),
    st.text(alphabet="ab\"'\\ %/é\n<&", min_size=6, max_size=12).map(lambda text: f"Zq7{text}Vx9"),
)
KEYS = st.sampled_from(["password", "apiKey", "X-API-Key", "Authorization", "client_secret", "accessToken", "Cookie"])
NOISE = st.recursive(
    st.none() | st.integers(0, 9) | st.sampled_from(["", "é", "max_tokens", "\ud800", "a b"]) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "token", "…"]), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def planted(draw: st.DrawFn) -> tuple[str, Any]:
    """Draw a secret, and data that hold it somewhere under a key, or beside one."""
    secret, key = draw(SECRET), draw(KEYS)
    form = draw(st.integers(0, 5))
    held: Any = [
        {key: secret},
        {key: [{"x": secret}]},
        [(key, secret)],
        {"name": key, "value": secret},
        Login("ada", secret),
        Account("ada", (secret,)),
    ][form]
    for wrap in draw(st.lists(st.integers(0, 3), max_size=5)):
        held = [[held], (held, draw(NOISE)), {"k": held, "noise": draw(NOISE)}, deque([held])][wrap]
    return secret, {"planted": held}


def noted(error: Exception, secret: str) -> Exception:
    """Return an error with a note, and, where Python has them, in a group whose other member has the secret as well."""
    if sys.version_info < (3, 11):
        return error
    error.add_note(f"noted {secret}")
    return ExceptionGroup(f"group {secret}", [error, KeyError(secret)])  # noqa: F821 - new in 3.11


def traces(secret: str) -> set[str]:
    """Return the spellings in which the secret would show."""
    return {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=planted(), fails=st.booleans())
def test_a_planted_secret_leaves_no_trace(case: tuple[str, Any], fails: bool, tmp_path: Path, caplog: Any) -> None:
    """However it is hidden, and wherever it reappears: no handler, export, record or pickle gives it away."""
    secret, data = case
    caplog.clear()

    @obs.observable("leaky")
    def leaky(params: Any, state: Any) -> Any:
        other = logging.getLogger("tea_tests.other")
        other.warning("other says %s", secret, extra={"extra_field": {"password": secret}, "seen": [secret]})
        other.warning("data %s", data)
        other.warning(f"headers {[('X-Api-Key', secret), (b'Cookie', secret.encode())]}")
        with obs.span("inner", text=f"again {secret}", k={"key": secret}) as span:
            span.log(f"saying {secret}", extra=[secret])
            span.metric(scored=1)
            span.output = {"echo": secret, "json": json.dumps({"a": secret}), "repr": repr([secret])}
        try:
            raise noted(LookupError(f"inner {secret}"), secret)
        except Exception as error:
            other.exception("caught")
            if fails:
                raise ValueError(f"failed for {secret} and {secret!r}") from error
        return {"success": False, "error": {"deep": secret}}

    texts = everything_written(lambda: leaky(data, {}), tmp_path, caplog)
    spellings = traces(secret)
    for name, text in texts.items():
        assert text, name
        assert not any(spelling in text for spelling in spellings), (name, text)


def everything_written(act: Any, folder: Path, caplog: Any) -> dict[str, str]:
    """Run something in a flow, and return the texts that come out of every way out, by its name."""
    ring, kept, waiting = obs.RingBufferHandler(), Kept(), queue.SimpleQueue()
    texts = {
        "plain": logging.Formatter("%(asctime)s %(threadName)s %(name)s %(message)s"),
        "theirs": TheirJsonFormatter("%(message)s"),
        "ours": obs.JsonFormatter(),
        "console": obs.ConsoleFormatter(verbose=True),
    }
    streams = {name: io.StringIO() for name in texts}
    handlers: list[logging.Handler] = [ring, obs.FlowFileHandler(str(folder / "{flow_id}.jsonl"))]
    for name, formatter in texts.items():
        handlers.append(logging.StreamHandler(streams[name]))
        handlers[-1].setFormatter(formatter)
    handlers += [logging.handlers.QueueHandler(waiting), kept]
    loggers = [logging.getLogger("tea"), logging.getLogger("tea_tests.other")]
    with ExitStack() as undo:
        loggers[0].setLevel("DEBUG")
        undo.callback(loggers[0].setLevel, logging.NOTSET)
        for handler in handlers:
            filtered(handler)
            undo.callback(handler.close)
            for logger in loggers:
                logger.addHandler(handler)
                undo.callback(logger.removeHandler, handler)
        with suppress(ValueError), obs.flow() as run:
            act()
        for kind in FORMATS:
            obs.export(run.flow_id, str(folder / f"out.{kind}"), format=kind)
        found = {name: stream.getvalue() for name, stream in streams.items()}
        found["ring"] = dumps(ring.events(run.flow_id)) + repr(ring.events(run.flow_id))
        log = obs.get_flow_log(run.flow_id)
        found["log"] = json.dumps(log.to_dict())
        found["shown"] = f"{log}{log!r}{log._repr_html_()}"
        found["query"] = repr(obs.query(run.flow_id))
    records = [waiting.get() for _ in range(waiting.qsize())] + kept.records
    found["records"] = "".join(f"{record!r}{record!s}{vars(record)!r}" for record in records)
    found["pickles"] = "".join(repr(vars(pickle.loads(pickle.dumps(bare(record))))) for record in records)
    found["caplog"] = caplog.text + repr([vars(record) for record in caplog.records])
    for path in folder.iterdir():
        found[path.suffix + path.stem[:3]] = path.read_text(encoding="utf-8")
        path.unlink()
    return found


def bare(record: logging.LogRecord) -> logging.LogRecord:
    """Return a record that can be pickled: a traceback cannot, but records of nodes leave it behind."""
    if record.exc_info and not type(record).__name__.startswith("Node"):
        record.exc_info = None
    return record


def test_nothing_of_the_callers_changes() -> None:
    """What was planted is, after all this, what it was."""
    value = {"password": ["x"], "headers": [("Authorization", "y")], "login": Login("a", "b"), "more": [1] * (MAX_ITEMS + 1)}
    before = repr(value)
    leaving(value)
    assert repr(value) == before
