"""What a ``redact:`` entry says, and which ones are refused."""

from __future__ import annotations

import dataclasses
import logging
import logging.config
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

import the_edge_obs as obs
from the_edge_obs.context import FlowState
from the_edge_obs.errors import ConfigurationError
from the_edge_obs.redaction.snapshots import snapshot
from the_edge_obs.redaction.texts import by_own_patterns, learn, scrub
from the_edge_obs.secrets.keys import KEY_CLASSES
from the_edge_obs.secrets.policies import BUILT_IN, activate, effective, policy_of, policy_of_scope, process_policy
from the_edge_obs.secrets.texts import find


def test_an_entry_is_a_policy() -> None:
    """Keys in any spelling are one, patterns are compiled; nothing is nothing."""
    entry = {"keys": ["taxNumber", "TAX-number", "пароль"], "safe_keys": ("session_token",), "patterns": ["AC-[0-9]{6}"]}
    policy = policy_of({**entry, "correlate": True}, "redact")
    assert dataclasses.asdict(policy) == {
        "keys": frozenset({"taxnumber", "пароль"}),
        "safe_keys": frozenset({"sessiontoken"}),
        "patterns": (re.compile("AC-[0-9]{6}"),),
        "presets": frozenset(),
        "correlate": True,
    }
    for empty in (None, {"keys": None}, {"preset": None}):
        assert dataclasses.asdict(policy_of(empty, "redact")) == dataclasses.asdict(BUILT_IN)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("cpf", "redact is 'cpf'; it must be a mapping with allowed: keys, safe_keys, patterns, preset, correlate"),
        (
            {"kyes": []},
            "unknown key 'kyes' in redact; did you mean 'keys'? allowed: keys, safe_keys, patterns, preset, correlate",
        ),
        ({"keys": "cpf"}, "redact.keys is 'cpf'; it must be a list of texts"),
        ({"keys": 5}, "redact.keys is 5; it must be a list of texts"),
        ({"keys": [5]}, "redact.keys has 5; each must be a text that is not empty"),
        ({"safe_keys": ["--"]}, "redact.safe_keys has '--'; a key must have a letter or a digit, such as 'cpf'"),
        ({"keys": ["a_b"], "safe_keys": ["aB"]}, "redact.safe_keys has 'aB', which redact.keys has too; keep it in one of them"),
        (
            {"patterns": ["a("]},
            "redact.patterns has 'a(', which is not a valid regular expression: missing ), unterminated subpattern",
        ),
        ({"patterns": ["a*"]}, "redact.patterns has 'a*', which matches an empty text; write one such as 'AC-[0-9]{6}'"),
        ({"correlate": 1}, "redact.correlate is 1; allowed: true, false"),
    ],
)
def test_bad_entries_are_refused(entry: Any, message: str) -> None:
    """Key, value and what is allowed; nothing is in force afterwards."""
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        policy_of(entry, "redact")
    assert process_policy() is BUILT_IN


def test_a_filter_in_a_dict_config() -> None:
    """With the standard library's own dictConfig, and with configure and its undo."""
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"redact": {"()": "the_edge_obs.RedactionFilter", "keys": ["cpf"]}},
        "loggers": {"tea.redacted": {"filters": ["redact"]}},
    }
    logging.config.dictConfig(config)
    [installed] = logging.getLogger("tea.redacted").filters
    assert snapshot({"cpf": "1"}) == {"cpf": "[REDACTED]"}
    assert isinstance(installed, obs.RedactionFilter)
    installed.close()
    undo = obs.configure(config)
    assert snapshot({"cpf": "1"}) == {"cpf": "[REDACTED]"}
    undo()
    assert (snapshot({"cpf": "1"}), process_policy()) == ({"cpf": "1"}, BUILT_IN)


def test_a_configuration_that_fails_leaves_no_policy() -> None:
    """Whole or not at all: a bad handler takes the policy with it."""
    config = {
        "version": 1,
        "filters": {"redact": {"()": "the_edge_obs.RedactionFilter", "keys": ["cpf"]}},
        "handlers": {"bad": {"class": "no.such.Handler", "filters": ["redact"]}},
    }
    with pytest.raises(ConfigurationError):
        obs.configure(config)
    assert process_policy() is BUILT_IN


def test_policies_are_activated_by_many_threads_at_once() -> None:
    """None is lost, and after all undos nothing is left."""
    policies = [policy_of({"keys": [f"key{number}"]}, "redact") for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        undos = list(pool.map(activate, policies))
        assert process_policy().keys == {f"key{number}" for number in range(64)}
        list(pool.map(lambda undo: undo(), undos))
    assert process_policy() is BUILT_IN


def test_policies_of_scopes_do_not_meet() -> None:
    """What counts for one scope counts for no other, and the process's policy counts for all."""
    one, other = object(), object()
    undos = [activate(policy_of({"keys": [key]}, "redact"), scope) for key, scope in (("a1", one), ("b1", other), ("c1", None))]
    assert [effective(policy_of_scope(scope)).keys for scope in (one, other, None)] == [{"a1", "c1"}, {"b1", "c1"}, {"c1"}]
    for undo in undos:
        undo()
        undo()
    assert (policy_of_scope(one), policy_of_scope(other), process_policy()) == (None, None, BUILT_IN)


@pytest.mark.parametrize("preset", ["cards", "", 5, ["payment"]])
def test_a_preset_that_is_not_known(preset: Any) -> None:
    """The message names the value and what is allowed."""
    with pytest.raises(ConfigurationError, match=re.escape(f"redact.preset is {preset!r}; ") + ".*allowed: payment"):
        policy_of({"preset": preset}, "redact")


def test_the_preset_for_payments() -> None:
    """Its keys are secret, and card numbers in texts go by their check digits; the program's own safe keys are left out."""
    undo = activate(policy_of({"preset": "payment", "safe_keys": ["otp"]}, "redact"))
    try:
        value = {"card_number": "x", "CVV": 123, "iban": "DE", "pan": "y", "ssn": "z", "otp": "12", "pinBlock": "w", "amount": 5}
        taken = scrub(snapshot({**value, "note": "card 4111 1111 1111 1111"}))
    finally:
        undo()
    hidden = dict.fromkeys(("card_number", "CVV", "iban", "pan", "ssn", "pinBlock"), "[REDACTED]")
    assert taken == {**value, **hidden, "note": "card [REDACTED]"}


@pytest.mark.parametrize("correlate", [False, True])
def test_a_pattern_leaves_placeholders_whole(correlate: bool) -> None:
    """A pattern that matches letters or digits of a placeholder does not redact it again, at any reading."""
    undo = activate(policy_of({"patterns": ["[A-Z]{8}", "[0-9a-f]{3}"], "correlate": correlate}, "redact"))
    try:
        once = by_own_patterns("ABCDEFGH, [REDACTED] and [REDACTED:0d5c4a73a3b7], 0d5")
        assert re.sub(":[0-9a-f]{12}", "", once) == "[REDACTED], [REDACTED] and [REDACTED], [REDACTED]"
        assert ("[REDACTED:0d5c4a73a3b7]," in once, by_own_patterns(once)) == (True, once)
    finally:
        undo()


_HIDING: Final = ["AC-[0-9]{4}", "api", "(?i)bear", "://", "AIN", "=ab"]


@pytest.mark.parametrize("patterns", [[one] for one in _HIDING] + [_HIDING])
@pytest.mark.parametrize(
    "text",
    [
        "password=abcAC-1234def",
        "password: AC-1234def, retries: 3",
        "api_key=hunter2xy",
        "my api key is hunter2xy99",
        "https://me:abAC-1234cd@host/x",
        "Authorization: Bearer AC-1234abcdefgh5678",
        "sk-proj-AC-1234abcdefghijklmnopqrstuvwx1234",
        '{"apiToken": "it is AC-1234 and more"}',
        "it was TAINT12345",
        "password=abTAINT12345cd",
    ],
)
def test_no_rule_hides_a_part_of_a_secret_from_another(text: str, patterns: list[str]) -> None:
    """Patterns, names, shapes and taints look at the text as it came: what one of them finds is hidden."""
    flow = FlowState("9f0df4a5-a646-4772-b822-7adce460ed24", "hiding")
    learn(flow, ["TAINT12345"], is_certain=True)
    undo = activate(policy_of({"patterns": patterns}, "redact"))
    try:
        taken = snapshot({"text": text}, flow)
        shown = scrub(taken, flow.taints)["text"]
    finally:
        undo()
    spans = find(text, KEY_CLASSES)
    spans += [match.span() for one in ["TAINT12345", *patterns] for match in re.finditer(one, text)]
    hidden = {at for start, end in spans for at in range(start, end)}
    visible = "".join("\0" if at in hidden else char for at, char in enumerate(text))
    assert re.sub(r"(\[REDACTED\])+", "\0", shown) == re.sub("\0+", "\0", visible)
    if "\0" in visible and any(re.search(one, text) for one in patterns):
        assert scrub(taken, flow.taints)["text"] == shown  # also when the policy is gone
