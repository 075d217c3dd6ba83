"""Taints: which secrets a flow remembers, in which spellings, and what happens without room."""

from __future__ import annotations

import base64
import html
import itertools
import json
import pickle
import re
import string
import threading
import tracemalloc
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

import the_edge_obs as obs
from the_edge_obs.context import FlowState, new_flow_id
from the_edge_obs.errors import ConfigurationError
from the_edge_obs.flows import load
from the_edge_obs.redaction.snapshots import snapshot
from the_edge_obs.redaction.texts import PLACEHOLDER, scrub, scrub_text
from the_edge_obs.secrets.taints import MAX_CHARS, MAX_SECRETS, Taints


def a_flow() -> FlowState:
    return FlowState(new_flow_id(), "f")


def after(captured: Any, text: str) -> str:
    """Return a text as it leaves a flow that has captured something."""
    flow = a_flow()
    snapshot(captured, flow)
    return scrub_text(text, flow.taints)


# --- what is remembered -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("captured", "text"),
    [
        ({"password": "hunter2hunter2\n"}, "login hunter2hunter2"),
        ({"password": "  tr0ub4dor\t"}, "login tr0ub4dor"),
        ({"credentials": "alice:hunter2xyz"}, "login hunter2xyz"),
        ({"dsn": "password=s3cr3t7 host=db1 user=app"}, "login s3cr3t7"),
        ({"dsn": "postgres://app:s3cr3t7@db1/shop"}, "login s3cr3t7"),
        ({"connection_string": "Server=db1;User Id=sa;Password=Pa55w0rd!;"}, "login Pa55w0rd!"),
        ({"secret": '{"user": "ada", "password": "hunter2xyz"}'}, "login hunter2xyz"),
        ({"Authorization": "Custom opaque-value-9"}, "login opaque-value-9"),
        ({"Authorization": "Basic " + base64.b64encode(b"ada:hunter2xyz").decode()}, "login hunter2xyz"),
        ({"password": "48291"}, "login 48291"),
        ({"password": 48_291}, "login 48291"),
        ({"pin": "4711"}, "login 4711"),
        ({"password": "correct horse battery staple"}, "login correct horse battery staple"),
        ({"password": ["first-secret", {"value": "second-secret-2"}]}, "login second-secret-2"),
    ],
)
def test_secrets_and_their_parts(captured: Any, text: str) -> None:
    """Stripped, without its scheme, inside a connection string, JSON or a pair; as text and as number."""
    assert after(captured, text) == f"login {PLACEHOLDER}"


@pytest.mark.parametrize(
    ("captured", "text"),
    [
        ({"properties": {"password": {"type": "string"}}}, "a string here"),
        ({"token": "Paris"}, "Paris is located in France"),
        ({"token": " located"}, "Paris is located in France"),
        ({"api_key": "ollama"}, "ollama runs"),
        ({"api_key": "EMPTY"}, "EMPTY"),
        ({"api_key": "sk-no-key-required"}, "api_key sk-no-key-required"),
        ({"password": "/srv/app"}, "cut /srv/app/x"),
        ({"password": "required"}, "name is required"),
        ({"csrf_token": "disabled"}, "disabled"),
        ({"credentials": "include"}, "include it"),
        ({"next_page_token": "page2"}, "on page2"),
        ({"password": "error"}, "error"),
        ({"secret": "application/json"}, "application/json"),
        ({"credentials": {"type": "service-account", "user": "deploy-robot-7"}}, "deploy-robot-7 is a service-account"),
        ({"connection_string": "Server=db-host-7.example.org;Password=Pa55w0rd!"}, "db-host-7.example.org"),
        ({"password": "ab"}, "ab"),
        ({"password": 4_711}, "4711"),
        ({"token": "https://example.org/login"}, "https://example.org/login"),
    ],
)
def test_ordinary_words_are_not_remembered(captured: Any, text: str) -> None:
    """Schemas, words, paths, placeholders, ids and counts are redacted under their key, and nowhere else."""
    assert after(captured, text) == text


def test_keys_are_never_rewritten() -> None:
    """Neither keys of data nor those of the event, whatever the flow has learned."""
    flow = a_flow()
    snapshot({"password": ["tr0ub4dor", "error", "data", "metrics4711"]}, flow)
    data = {"tr0ub4dor": 1, "error": {"metrics4711": "tr0ub4dor"}}
    assert scrub(data, flow.taints) == {"tr0ub4dor": 1, "error": {"metrics4711": PLACEHOLDER}}


def test_numbers_are_no_parts_of_longer_ones() -> None:
    """A number that is a secret is found as a number, in texts and by itself, and not inside another."""
    flow = a_flow()
    snapshot({"password": "48291"}, flow)
    value = {"n": 48_291, "minus": -48_291, "other": 148_291, "text": "48291 in 1482910 and id-48291", "float": 48_291.0}
    assert scrub(value, flow.taints) == {
        "n": PLACEHOLDER,
        "minus": PLACEHOLDER,
        "other": 148_291,
        "text": f"{PLACEHOLDER} in 1482910 and id-{PLACEHOLDER}",
        "float": 48_291.0,
    }


# --- spellings --------------------------------------------------------------------------------------------------------

SPELLED = st.text(alphabet="aZ9\"'\\ %/é\n\t<>&=+\U0001f600", min_size=4, max_size=12).map(lambda text: f"Zq7{text}Vx9")


@pytest.mark.slow
@given(SPELLED)
def test_spellings(secret: str) -> None:
    """As ``repr``, JSON, percent-encoding of either case and HTML write it."""
    taints = Taints()
    taints.learn(secret)
    spelled = [
        secret,
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        ascii(secret)[1:-1],
    ]
    spelled += [
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), quote(secret, safe="")),
    ]
    spelled += [html.escape(secret), html.escape(secret, quote=False), html.escape(secret).replace("&#x27;", "&#39;")]
    for text in spelled:
        assert scrub_text(f"<{text}>", taints) == f"<{PLACEHOLDER}>", text


@pytest.mark.slow
@given(st.binary(min_size=4, max_size=40).map(lambda data: b"\xff\xfe" + data))
def test_spellings_of_bytes(secret: bytes) -> None:
    """Bytes that are not a text, as base64, hex and ``repr`` write them, and inside longer bytes."""
    flow = a_flow()
    snapshot({"password": secret}, flow)
    for text in (
        base64.b64encode(secret).decode(),
        base64.urlsafe_b64encode(secret).decode(),
        secret.hex(),
        secret.hex().upper(),
    ):
        assert text.rstrip("=") not in scrub_text(f"got {text}.", flow.taints)
    assert repr(secret)[2:-1] not in scrub_text(f"got {secret!r}", flow.taints)
    shown = scrub(snapshot({"a": secret, "b": b"\x00\xff" + secret}, flow), flow.taints)
    assert shown == {"a": f"<{len(secret)} bytes: {PLACEHOLDER}>", "b": f"<{len(secret) + 2} bytes: {PLACEHOLDER}>"}


# --- room -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_thousand_passwords_are_remembered() -> None:
    """As many logins as a busy flow has; words of a stream under ``token`` take no room from them."""
    flow = a_flow()
    for number in range(2_000):
        snapshot({"password": f"pw-{number:05d}-x!y", "token": f" word{'abcdefghij'[number % 10]}"}, flow)
    texts = [scrub_text(f"login pw-{number:05d}-x!y failed", flow.taints) for number in range(2_000)]
    assert set(texts) == {f"login {PLACEHOLDER} failed"}
    assert flow.taints.lost == 0


@pytest.mark.slow
def test_the_newest_stay_and_tokens_go_first() -> None:
    """Without room the oldest token makes some; without tokens, the oldest secret; each loss is counted."""
    taints = Taints()
    taints.learn("tok3n-that-goes-1", is_token=True)
    for number in range(MAX_SECRETS):
        taints.learn(f"secret-{number:05d}")
    assert (taints.lost, "tok3n-that-goes-1" in taints, "secret-00000" in taints) == (1, False, True)
    taints.learn("tok3n-without-room-2", is_token=True)
    assert (taints.lost, "tok3n-without-room-2" in taints) == (2, False)
    taints.learn("one-m0re")
    assert (taints.lost, "secret-00000" in taints, "one-m0re" in taints, len(taints)) == (3, False, True, MAX_SECRETS)


def test_credentials_that_cannot_be_decoded_are_remembered_as_they_are() -> None:
    """There is no password to take out of them."""
    parts = [part for part, _ in Taints().learn("Basic kX9#pQ2!zz")]
    assert parts == ["Basic kX9#pQ2!zz", "kX9#pQ2!zz"]


def filled(taints: Taints) -> Taints:
    """Learn as many secrets as there is room for, so that one that is there before makes room."""
    for number in range(MAX_SECRETS):
        taints.learn(f"secret-{number:05d}")
    return taints


@pytest.mark.slow
def test_a_token_goes_before_older_secrets() -> None:
    """A piece of a text may have stood there, where a password is a secret."""
    taints = Taints()
    taints.learn("p4ssw0rd-of-old")
    taints.learn("tok3n-that-goes-1", is_token=True)
    for number in range(MAX_SECRETS - 1):
        taints.learn(f"secret-{number:05d}")
    assert (taints.lost, "p4ssw0rd-of-old" in taints, "tok3n-that-goes-1" in taints) == (1, True, False)


@pytest.mark.slow
def test_a_spelling_stays_while_a_secret_has_it() -> None:
    """One secret may be written as another is spelled; the first goes, and the second is still found."""
    taints = Taints()
    taints.learn('p4ss"w0rd-x1')
    taints.learn('p4ss\\"w0rd-x1')  # as JSON has the first
    for number in range(MAX_SECRETS - 1):
        taints.learn(f"secret-{number:05d}")
    assert taints.lost == 1
    assert taints.in_text('{"a": "p4ss\\"w0rd-x1"}') == ['p4ss\\"w0rd-x1']
    assert 'p4ss"w0rd-x1' not in taints


def test_a_token_that_turns_out_to_be_a_secret_counts_once() -> None:
    """It is known already, and from then on stays as long as one that was learned then."""
    long = "kX9" * 2_700
    token, old, *more = (f"{number:04d}-{long}" for number in range(40))
    taints = Taints()
    taints.learn(token, is_token=True)
    taints.learn(old)
    version = taints.version
    assert taints.learn(token) == [(token, (token,))]
    assert (taints.chars, taints.version, taints.lost) == (len(token) + len(old), version, 0)
    for secret in more:
        taints.learn(secret)
        if taints.lost == 1:
            assert (old in taints, token in taints) == (False, True)
        assert taints.chars == sum(map(len, taints)) <= MAX_CHARS
    assert token not in taints


def test_the_characters_are_counted_exactly_in_threads() -> None:
    """Each secret counts once, whoever learns it, and however often."""
    taints = Taints()
    start = threading.Barrier(4)

    def learn(seed: int) -> None:
        start.wait()
        for number in range(100):
            taints.learn(f"s3cret-{number * seed % 31:05d}", is_token=number % 3 == seed % 3)

    threads = [threading.Thread(target=learn, args=(seed,)) for seed in (3, 7, 9, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taints.chars == sum(map(len, taints)) == 31 * len("s3cret-00000")


@pytest.mark.slow
def test_a_number_that_is_forgotten_is_a_number_again() -> None:
    """It is taken out of data as long as it is remembered."""
    taints = Taints()
    taints.learn(1_234_567_890)
    assert taints.numbers == {1_234_567_890}
    assert filled(taints).numbers == set()


@pytest.mark.slow
def test_what_was_judged_is_not_remembered_for_ever() -> None:
    """Ordinary words are judged once, within bounds: a stream has any number of them."""
    taints = Taints()
    letters = string.ascii_lowercase
    taints.learn("one")
    tracemalloc.start()
    try:
        for word in map("".join, itertools.product(letters, repeat=3)):
            taints.learn(word)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(taints), taints.lost) == (0, 0)
    assert peak < 250_000


@pytest.mark.slow
def test_the_characters_are_bounded() -> None:
    """A flow with many long secrets keeps the last ones, within the cap."""
    taints = Taints()
    for number in range(100):
        taints.learn(f"{number:04d}-" + "kX9" * 2_700)
    assert taints.chars <= MAX_CHARS
    assert taints.chars == sum(map(len, taints))
    assert taints.lost > 0
    assert any(text.startswith("0099-") for text in taints)


def test_a_loss_is_a_fault_that_the_flow_log_shows() -> None:
    """What cannot be remembered is counted in the flow, and told once in its log."""
    undo = obs.configure({})
    try:
        with obs.flow("losing") as run:
            obs.taint(["abc", "xy"])
        log = obs.get_flow_log(run.flow_id)
        told = [(event["node"], event["level"], event["message"]) for event in log.events if event["node"] == "obs"]
        assert log.metrics["fault_count"] == 2
        assert told == [("obs", "error", "a secret of the flow cannot be remembered: it may show up where no key names it")]
    finally:
        undo()


@pytest.mark.slow
@pytest.mark.parametrize("many", [3, 2_000])
def test_few_and_many_are_found_alike(many: int) -> None:
    """The short cut for many secrets finds what the plain way does."""
    taints = Taints()
    for number in range(many):
        taints.learn(f"{number:05d}-sEcret")
    assert taints.in_text("a 00001-sEcret b 00002-sEcret0 c") == ["00001-sEcret", "00002-sEcret"]
    assert taints.in_text("abc") == []


# --- what the program says --------------------------------------------------------------------------------------------


def test_a_program_names_its_secrets() -> None:
    """Texts that look like nothing, bytes and numbers; outside any flow nothing happens."""
    undo = obs.configure({})
    try:
        obs.taint(["outside"])
        with obs.flow("named") as run:
            obs.taint(["swordfish", b"\xff\xfe\x01\x02", 48_291, None, ""])
            with obs.span("s", text="a swordfish", n=48_291, data=b"\xff\xfe\x01\x02", word="outside"):
                pass
        data = obs.query(run.flow_id, node="s")[0]["data"]["input"]
        assert data == {"text": f"a {PLACEHOLDER}", "n": PLACEHOLDER, "data": f"<4 bytes: {PLACEHOLDER}>", "word": "outside"}
    finally:
        undo()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("secret", r"taint takes a list of secrets, not str; write taint\(\[secret\]\)"),
        (b"secret", "not bytes"),
        (5, "not int"),
        ([1.5], "a value of type float; allowed: str, bytes, int"),
        ([True], "a value of type bool"),
    ],
)
def test_what_cannot_be_named(values: Any, message: str) -> None:
    """A mistake is refused, and the message holds no secret."""
    with pytest.raises(ConfigurationError, match=message):
        obs.taint(values)


FLOW = {
    "name": "start",
    "observability": {"level": "debug"},
    "variables": {"service_password": "variable-s3cret-1"},
    "nodes": [{"name": "say", "run": "return {'said': f\"{state['api_key']} {variables['service_password']}\"}"}],
}


def test_what_a_flow_starts_with_is_remembered() -> None:
    """Secrets of the initial state and of the variables show up nowhere in the log."""
    final = load(FLOW).run({"api_key": "zebra-lamp-9931-xyz"})
    assert final["said"] == "zebra-lamp-9931-xyz variable-s3cret-1"
    log = json.dumps(obs.get_flow_log(final["flow_id"]).to_dict())
    assert ("zebra-lamp" in log, "variable-s3cret" in log, log.count(PLACEHOLDER) >= 1) == (False, False, True)


def test_a_flows_own_rules_are_its_own() -> None:
    """Its safe keys, keys, patterns and presets count in it, and for nobody else, before, during and after."""
    seen: list[Any] = []

    def look(state: Any) -> dict[str, Any]:
        with obs.flow("other") as other, obs.span("inner", password="hunter2-other", cpf="1"):
            pass
        seen.append(obs.query(other.flow_id, node="inner")[0]["data"]["input"])
        return {"password": "public-4711", "cpf": "1", "text": "AC-123456 paid by 4111 1111 1111 1111", "cvv": 123}

    redact = {"safe_keys": ["password"], "keys": ["cpf"], "patterns": ["AC-[0-9]{6}"], "preset": "payment"}
    flow = load({"name": "own", "observability": {"redact": redact}, "nodes": [{"name": "n", "uses": "look"}]}, {"look": look})
    undo = obs.configure({})
    try:
        final = flow.run()
        output = next(event for event in obs.query(final["flow_id"], event_type="exit") if event.get("step") == "n")["data"][
            "output"
        ]
    finally:
        undo()
    assert output == {
        "password": "public-4711",
        "cpf": PLACEHOLDER,
        "text": f"{PLACEHOLDER} paid by {PLACEHOLDER}",
        "cvv": PLACEHOLDER,
    }
    assert seen == [{"password": PLACEHOLDER, "cpf": "1"}]
    assert snapshot({"password": "hunter2-after", "cpf": "1"}) == {"password": PLACEHOLDER, "cpf": "1"}


def test_taints_travel_by_value() -> None:
    """To another process goes what is to be hidden there."""
    flow = a_flow()
    snapshot({"password": "hunter2xyz"}, flow)
    there = Taints()
    there.absorb(pickle.loads(pickle.dumps(flow.taints.copied())))
    assert scrub_text("a hunter2xyz", there) == f"a {PLACEHOLDER}"


def test_a_dict_names_the_values_under_its_secret_keys(ring: obs.RingBufferHandler) -> None:
    """At any depth; an ordinary word, as local servers take it for a key, hides nothing."""
    with obs.flow() as run, obs.span("work", before="Zx81hHq0Lm2Nv7Rt5Kp3"):
        obs.taint({"api_key": "Zx81hHq0Lm2Nv7Rt5Kp3", "headers": {"Authorization": "Bearer 4fQ9aL2mXc7T"}, "name": "bob-8812-x"})
        obs.taint({"api_key": "ollama"})
        obs.log_event("Zx81hHq0Lm2Nv7Rt5Kp3 and 4fQ9aL2mXc7T, by bob-8812-x with ollama")
    events = obs.query(run.flow_id, node="work")
    assert [event["message"] for event in events if event["event_type"] == "log"] == [
        "[REDACTED] and [REDACTED], by bob-8812-x with ollama"
    ]
    assert "Zx81hHq0Lm2Nv7Rt5Kp3" not in str(events)


def test_a_dict_outside_any_flow_is_not_remembered(ring: obs.RingBufferHandler) -> None:
    obs.taint({"api_key": "Zx81hHq0Lm2Nv7Rt5Kp3"})
    with obs.flow() as run:
        obs.log_event("Zx81hHq0Lm2Nv7Rt5Kp3")
    assert [event["message"] for event in obs.query(run.flow_id, event_type="log")] == ["Zx81hHq0Lm2Nv7Rt5Kp3"]
