"""Values: what looks like a secret, and what does not."""

from __future__ import annotations

import pytest

from the_edge_obs.secrets.values import ORDINARY_TEXT, SECRET_LIKE, WORD, is_blank, is_identifier, is_mixed, is_random, look_of

ORDINARY = [
    "string",
    "ollama",
    "EMPTY",
    "/srv/app",
    "required",
    "disabled",
    "include",
    "page2",
    "error",
    "N/A",
    "",
    "**",
    "!?!",
    "-----",
    "xxxxxxxx",
    "********",
    "${DB_PASSWORD}",
    "$TOKEN",
    "{{ state.x }}",
    "<your-key>",
    "your-api-key-here",
    "[REDACTED]",
    "2026-01-02T03:04:05Z",
    "12:30",
    "1.2.3",
    "ada@example.org",
    "https://example.org/x",
    "0x7ffde63a5a70",
    "sha256",
    "oauth2",
    "must be at least 8 characters",
    "#1f6feb",
    "30s",
    "Not set",
    "load(path: str) -> bytes",
    "%(password)s",
    "~/.ssh/id",
    "arn:aws:iam::1:role/x",
]
WORDS = ["swordfish", "abc", "hunter", "4711", "my_password", "client_credentials", "sk-no-key-required"]
SECRETS = [
    "hunter2",
    "tr0ub4dor",
    "48291",
    "zebra-lamp-9931-xyz",
    "open-sesame",
    "correct-horse-battery",
    "P@ssw0rd!",
    "opaque-4711",
    "Zq7<< <Vx9",
    "dXNlcjpwYXNzd29yZA==",
    "/2z=s3djmcnvkv8qekbyqc0e00if4=o08t6",
    "550e8400-e29b-41d4-a716-446655440000",
    "purple monkey dishwasher",
    "x" * 300,
]


@pytest.mark.parametrize(
    ("text", "look"),
    [
        *((text, ORDINARY_TEXT) for text in ORDINARY),
        *((text, WORD) for text in WORDS),
        *((text, SECRET_LIKE) for text in SECRETS),
    ],
)
def test_looks(text: str, look: int) -> None:
    """Words, paths, placeholders, dates and prose are ordinary; mixtures, numbers and unknown long words look secret."""
    assert look_of(text) == look


@pytest.mark.parametrize(
    "text", ["self.password", "get_token()", "os.environ['X1']", "config.keys[0]", "secrets.token_urlsafe(32)"]
)
def test_code_is_ordinary_where_it_stands_bare(text: str) -> None:
    """An expression is not a value; in quotes the same text may be one."""
    assert look_of(text, is_bare=True) == ORDINARY_TEXT


@pytest.mark.parametrize(
    ("judge", "yes", "no"),
    [
        (is_random, ["q8Zt4Lm2Xc9Rb5Vn7Kd3", "a1b2c3d4e5f6a7b8"], ["sparkExecutorActorSystem", "30546173_4261722401"]),
        (is_mixed, ["RfteetLOYE58", "7P3xe5EgjD4d46fiP8l2jBPl"], ["version2", "HTTP2", "step-10", "reports", "COVID19"]),
        (is_identifier, ["authToken", "my_password", "Password"], ["hunter2", "swordfish"]),
        (is_blank, ["xxxx-xxxx", "XXXXXX", "0000"], ["abab", "x1x1"]),
    ],
)
def test_judgements(judge: object, yes: list[str], no: list[str]) -> None:
    """Generated texts, mixed words of sentences, names in code, and what fills in for a key."""
    assert [judge(text) for text in (*yes, *no)] == [True] * len(yes) + [False] * len(no)  # type: ignore[operator]
