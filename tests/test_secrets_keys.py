"""Keys: what they say of their values, and names in texts likewise."""

from __future__ import annotations

from typing import Any

import pytest

from the_edge_obs.redaction.snapshots import snapshot
from the_edge_obs.redaction.texts import PLACEHOLDER, scrub_text
from the_edge_obs.secrets.keys import PLAIN, SECRET, TOKEN, VALUE, WEAK, KeyClasses, classes_for, classify, counts, only_describes
from the_edge_obs.secrets.policies import BUILT_IN, Policy, activate

VALUE_OF_A_SECRET = "zebra-lamp-9931-xyz"
SECRET_KEYS = (
    "clientsecret accesstoken refreshtoken dbpassword PGPASSWORD apisecret signingkey masterkey openaiapikey "
    "connection_string connectionstring DB_PASS pass passcode session_id JSESSIONID hmac_key shared_key consumer_key "
    "app_key OPENAI_KEY basic_auth auth_header REDISCLI_AUTH senha contraseña passwort motdepasse sid csrf xsrf pw creds "
    "service_key client_key license_key gpg_key signature otp pin password_confirmation client_secret_value "
    "credentials_json MYSQL_ROOT_PASSWORD X-Vault-Token PRIVATE-TOKEN DD-API-KEY spring.datasource.password userPassword "
    "пароль 密码 api_key_2 aws_access_key_id apikey_myservice "
).split()
HARMLESS = {
    "authorization_status": "approved",
    "password_policy": "strict",
    "api_key_id": "key_123abc456",
    "secret_name": "prod/db-1",
    "token_url": "https://id.example.org/token",
    "has_password": False,
    "api_key_created_at": "2026-01-02T03:04:05Z",
    "private_key_path": "/etc/ssl/key1.pem",
    "jwt_algorithm": "HS256",
    "eos_token": "</s>",
    "next_page_token": "abc123def456ghi",
    "token_logprobs": [-0.1, -2.5],
    "max_tokens": 128_000,
    "PWD": "/srv/app1",
    "monkey": "banana12",
    "tokenizer": "cl100k_base",
    "compass": "north-west-4",
    "author": "ada1815",
    "password_encoder": "bcrypt",
    "cookie_policy": "accepted",
    "session": "morning",
    "auth_method": "oauth2",
    "pin": 13,
    "signature": "load(path: str) -> bytes",
    "secrets.yaml": "found 12 entries here",
    "GOOGLE_APPLICATION_CREDENTIALS": "/home/ci/gcp1.json",
    "token": 17,
    "key": "sort-by-name-2",
    "public_key": "ssh-rsa AAAAB3Nza",
}


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_keys_and_names_in_texts_agree(key: str) -> None:
    """One table judges both: what is secret as a key of a dict is secret before a sign in a text."""
    assert snapshot({key: VALUE_OF_A_SECRET}) == {key: PLACEHOLDER}
    for text in (f"{key}={VALUE_OF_A_SECRET}", f'{{"{key}": "{VALUE_OF_A_SECRET}"}}', f"run --{key} {VALUE_OF_A_SECRET}"):
        assert VALUE_OF_A_SECRET not in scrub_text(text), text


@pytest.mark.parametrize("key", HARMLESS)
def test_what_only_sounds_like_a_secret_stays(key: str) -> None:
    """Counts, ids, names, paths, URLs, dates, states and booleans under words that sound secret."""
    assert snapshot({key: HARMLESS[key]}) == {key: HARMLESS[key]}


@pytest.mark.parametrize(
    ("key", "verdict"),
    [
        ("password", SECRET),
        ("token", TOKEN),
        ("access_token", SECRET),
        ("tokens", PLAIN),
        ("access_tokens", TOKEN),
        ("session", WEAK),
        ("value", VALUE),
        ("content", VALUE),
        ("", PLAIN),
        ("-", PLAIN),
        ("x" * 500, PLAIN),
        ("a_" * 60, PLAIN),
        ("password_of_the_month_club", WEAK),
        ("key", PLAIN),
        ("sort_key", PLAIN),
        ("github_key", WEAK),
        ("api_key", SECRET),
        ("cookie_header", WEAK),
        ("secret_id_hash", WEAK),
        ("token_id_value", TOKEN),
    ],
)
def test_verdicts(key: str, verdict: int) -> None:
    """Certain words, pieces of texts, and words whose value has to tell."""
    assert classify(key) == verdict


def test_a_policy_comes_before_the_table() -> None:
    """Its keys are secret, its safe keys are not; a function's own keys come before both."""
    policy = Policy(frozenset({"cpf"}), frozenset({"password", "cpf"}))
    assert [classify(key, policy) for key in ("C.P.F.", "Password", "api_key")] == [SECRET, PLAIN, SECRET]
    assert classify("pass_word", policy, frozenset({"password"})) == SECRET
    assert classes_for(["CPF"]) is classes_for(["c_p_f"])


@pytest.mark.slow
def test_what_is_known_is_bounded() -> None:
    """Verdicts are remembered, and forgotten before they fill the memory."""
    classes = KeyClasses()
    for number in range(10_000):
        assert classes[f"key{number}"] == PLAIN
    assert len(classes.known) <= 4_096
    classes.verdicts(f"word{number}" for number in range(40_000))
    assert len(classes.plain) <= 32_768
    for number in range(40_000):
        classes.note_parts([f"part{number},", "x" * 65], BUILT_IN)
    assert len(classes.plain_parts) <= 32_768
    assert "x" * 65 not in classes.plain_parts


def test_parts_of_texts_are_forgotten_with_their_policy() -> None:
    """A part that was plain under one policy may have a secret name under the next."""
    assert scrub_text("badge: 4711-ab") == scrub_text("badge: 4711-ab") == "badge: 4711-ab"
    undo = activate(Policy(frozenset({"badge"})))
    try:
        assert scrub_text("badge: 4711-ab") == "badge: [REDACTED]"
    finally:
        undo()
    assert scrub_text("badge: 4711-ab") == "badge: 4711-ab"


@pytest.mark.parametrize(
    ("value", "is_count"),
    [(5, True), ({"a": 1, "b": None}, True), (1.5, True), (48_291_345, False), ("5", False), ([1], False), ({}, False)],
)
def test_counts(value: Any, is_count: bool) -> None:
    """Numbers that count something are small; a token of digits is large."""
    assert counts(value) is is_count


@pytest.mark.parametrize(
    ("value", "describes"),
    [
        ({"type": "string", "minLength": 8}, True),
        ({"secretName": "db"}, True),
        ([{"name": "registry"}], True),
        ({"status": "disabled"}, True),
        ({"type": "string", "default": "hunter2"}, False),
        ({}, False),
        ([], False),
        ([["a"]], False),
        ("text", False),
    ],
)
def test_what_only_describes(value: Any, describes: bool) -> None:
    """A schema, a status or a name under a secret key is shown; a default value is not."""
    assert only_describes(value) is describes
    shown = snapshot({"password": value})["password"]
    assert (shown == PLACEHOLDER) is not describes


def test_numbers_and_bytes_under_weak_keys() -> None:
    """A PIN has four digits, a session id twelve; bytes are secrets from eight on."""
    value = {
        "pin": 4821,
        "otp": 48_291,
        "session": 12,
        "sid": 123_456_789_012,
        "auth_data": b"12345678",
        "signature": b"x",
        "mfa": 1.5,
    }
    assert snapshot(value) == {
        "pin": PLACEHOLDER,
        "otp": PLACEHOLDER,
        "session": 12,
        "sid": PLACEHOLDER,
        "auth_data": PLACEHOLDER,
        "signature": "x",
        "mfa": 1.5,
    }


def test_pieces_of_a_text_are_not_tokens() -> None:
    """``token`` beside what a model says of a piece of its answer is that piece; a generated token beside an id is a secret."""
    pieces = [{"token": " Paris", "logprob": -0.1, "bytes": [32, 80]}, {"token": "is", "id": 42}]
    assert snapshot(pieces) == pieces
    assert snapshot({"id": 7, "token": "q8Zt4Lm2Xc9Rb5Vn7Kd3"}) == {"id": 7, "token": PLACEHOLDER}
    assert snapshot({"token": "Paris"}) == {"token": PLACEHOLDER}


def test_arguments_of_a_command() -> None:
    """In a list of arguments, what follows a secret flag is gone, and another flag is not."""
    assert snapshot(["login", "--password", "hunter2", "--verbose", "x"]) == [
        "login",
        "--password",
        PLACEHOLDER,
        "--verbose",
        "x",
    ]
    assert snapshot(["--token", "-v"]) == ["--token", "-v"]
