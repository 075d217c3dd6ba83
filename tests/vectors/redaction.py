"""Redaction and caps."""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

from the_edge_obs.context import FlowState
from the_edge_obs.handlers.formatters import to_line
from the_edge_obs.redaction.snapshots import snapshot
from the_edge_obs.redaction.texts import learn, scrub, scrub_text
from the_edge_obs.redaction.verdicts import remembered
from the_edge_obs.secrets import keys
from the_edge_obs.secrets.policies import activate, policy_of

from ..corpus import samples
from ..strategies import event
from .registry import Cases, about


def new_flow(number: int = 0xABC) -> FlowState:
    return FlowState(str(uuid.UUID(int=number, version=4)), "f")


_CLASSES: Final = {
    keys.PLAIN: "plain",
    keys.SECRET: "secret",
    keys.TOKEN: "token",
    keys.WEAK: "weak",
    keys.VALUE: "value",
}
_KEYS: Final = """
password passwd PWD user_password passwordHash api_key apiKey API-KEY X-API-Key APIKEY apikey key keys api_keys access_key
secretKey private.key ssh-key authorization Authorization auth auth_token author authority token tokens access_token
refreshToken accessTokens max_tokens maxTokens prompt_tokens token_count tokenCount token_type token_limit usage.tokens
total_tokens tokens_per_second session_token csrfToken cookie Set-Cookie cookies bearer jwt id_token secret secrets
client_secret clientSecretKey secretary dsn DATABASE_DSN connection_string connectionString credential credentials passphrase
value values name header tokenizer detokenize authkey OAuth oauth_token HTTPAuthorization APIKey2 api2key x_secret_y
PasswordField pass password1 monkey turkey signing_key encryptionKey master-key subscription_key accountKey bearer_token
X-Amz-Security-Token publicKey password_policy api_key_id token_url пароль Contraseña 密码 PASSWÖRTER
""".split()


@about(
    "What a key says of its value: plain, secret, token (a secret unless the value counts something), weak (a secret if the "
    "value looks like one), or value (a name beside it decides)."
)
def key_classes() -> Cases:
    of_corpus = (key for sample in samples() if isinstance(sample.value, dict) for key in sample.value)
    return [
        {"key": key, "class": _CLASSES[keys.classify(key)]} for key in dict.fromkeys([*_KEYS, *of_corpus]) if key.isprintable()
    ]


_TEXTS: Final = [
    "plain text",
    "",
    "https://user:pa55word@example.org/x",
    "postgres://u:p%40ss@h:5432/db",
    "?api_key=abcd1234&x=1",
    "Authorization: Bearer abcdef123456",
    "Cookie: sid=abc; other=def",
    "password=hunter22",
    "password: hunter22, user: ann",
    '{"password": "a b c", "n": 1}',
    "{'token': 'abc def'}",
    "token_count=5",
    "max_tokens: 512",
    "pwd=abc",
    "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\ncut off",
    "sig=abc123",
    "design=abc123",
    "('Authorization', 'opaque')",
    "secret: [one, two]",
    "password=[REDACTED]",
    "passwörter=größe77 und Passwort: süß-9921",
]


@about("Texts, and the same without secrets that show by their form or by a name in the text.")
def texts() -> Cases:
    of_corpus = [sample.value for sample in samples() if isinstance(sample.value, str)]
    return [{"text": text, "scrubbed": scrub_text(text)} for text in [*_TEXTS, *of_corpus] if len(text) <= 400]


_VALUES: Final[list[Any]] = [
    {"a": 1, "api_key": "k"},
    {"password": None},
    {"password": ""},
    {"password": 12345, "pin": 7},
    {"token": 5},
    {"token": "abcdef"},
    {"token": "a1b2c3d4e5f6"},
    {"tokens": {"in": 1, "out": 2}},
    {"access_tokens": ["a1b2c3"]},
    {"secret": {"a": ["b-77-xyz", {"c": 4}]}, "later": "b-77-xyz"},
    {"headers": [["Authorization", "opaque1"], ["X", "y"]]},
    [{"name": "password", "value": "zzzz1"}, {"key": "Accept", "value": "text/html"}],
    {"password": "order ZX-48213", "text": "x order ZX-48213 y", "json": '{"p": "order ZX-48213"}'},
    {"big": 2**63 - 1, "neg": -(2**63 - 1), "over": 2**63, "min": -(2**63), "u64": 2**64 - 1, "huge": 10**25},
    {"f": 1e16, "t": 1e-7, "z": -0.0, "n": -5, "true": True, "none": None},
    {"cut": ["mine"], "a.b": {"api_key": "k1-22-33"}, "": {"": 1}},
    {"unicode": "\u00fc\U0001f600\u200b", "\u00e4": 1, "nul": "\x00\x1b\u2028"},
]


@about(
    "Values as JSON texts (big integers are exact), the same as they are logged, and the paths that data.cut lists if they are "
    "the input of a node."
)
def values() -> Cases:
    return [logged(json.dumps(value)) for value in _VALUES]


def logged(text: str) -> dict[str, Any]:
    flow = new_flow()
    logged, cut = remembered(flow).scrubbed(snapshot(json.loads(text), flow), "input")
    return {"json": text, "logged": logged, "cut": cut}


@about(
    "Secrets that a flow knows, because they stood under the key password (secrets) or the program named them (named), and a "
    "later text of the flow. All spellings here are part of the contract (L20)."
)
def taint_spellings() -> Cases:
    secret = 'a b/c?d&"q"\\e<9>\u00fc\''
    dumped, escaped = json.dumps(secret, ensure_ascii=False)[1:-1], json.dumps(secret)[1:-1]
    given: list[tuple[list[Any], str]] = [
        (["hunter2hunter2"], "the hunter2hunter2 again, hunter2"),
        (["abc"], "abc"),
        (["true"], "true"),
        (["password"], "the password"),
        (["Bearer abcd1234"], "abcd1234"),
        ([secret], f"as is: {secret}."),
        ([secret], f'json: {{"x": "{dumped}"}} and {escaped}.'),
        ([secret], f"twice: {json.dumps(json.dumps(secret))}."),
        ([secret], "url: x=a%20b%2Fc%3Fd%26%22q%22%5Ce%3C9%3E%C3%BC%27."),
        ([secret], "url: x=a%20b%2fc%3fd%26%22q%22%5ce%3c9%3e%c3%bc%27."),
        ([secret], "form: x=a+b%2Fc%3Fd%26%22q%22%5Ce%3C9%3E%C3%BC%27."),
        ([secret], "path: x=a%20b/c%3Fd%26%22q%22%5Ce%3C9%3E%C3%BC%27."),
        ([secret], "html: a b/c?d&amp;&quot;q&quot;\\e&lt;9&gt;\u00fc&#x27;."),
        ([secret], "other: a b/c?d"),
        (["abcdefgh"], "cut abcd\u2026[+9 chars]"),
        (["abcd-1", "abcd-1234"], "abcd-1234 abcd-1"),
        (["pw=longsecret1;x"], "longsecret1"),
        ([4821377, 99], "numbers 4821377, -4821377, 48213770 and 99"),
        (["postgres://u:pa55-w0rd@h/db"], "pa55-w0rd at h"),
    ]
    made = []
    for secrets, text in given:
        flow = new_flow()
        for one in secrets:
            snapshot({"password": one}, flow)
        made.append({"secrets": secrets, "text": text, "scrubbed": scrub_text(text, flow.taints)})
    for secrets, text in [(["swordfish"], "a swordfish"), (["abc"], "abc"), (["open sesame now"], "open sesame now")]:
        flow = new_flow()
        learn(flow, secrets, is_certain=True)
        made.append({"named": secrets, "text": text, "scrubbed": scrub_text(text, flow.taints)})
    return made


_HIDING: Final = ["AC-[0-9]{4}", "api", "(?i)bear", "://", "AIN", "=ab"]
_HIDDEN: Final = [
    "nothing of that",
    "AC-1234 and AC-12345",
    "password=abcAC-1234def",
    "password: AC-1234def, retries: 3",
    "api_key=hunter2xy",
    "my api key is hunter2xy99",
    "https://me:abAC-1234cd@host/x",
    "Authorization: Bearer AC-1234abcdefgh5678",
    '{"apiToken": "it is AC-1234 and more"}',
    "it was TAINT12345",
    "password=abTAINT12345cd",
    "password=abTAINT12345cd, AC-1234, [REDACTED] api",
    "\u00e4 AC-1234 \u00e4 password=\u00e4bcdefgh1",
    "card 4111 1111 1111 1111, token=4111111111111111x",
]


@about(
    "Texts under a policy (redact) of a flow that knows the secrets named: text as it is shown while the policy is in use, and "
    "later without it, of what was captured under it. No rule hides a part of a secret from another one."
)
def own_patterns() -> Cases:
    entries: list[dict[str, Any]] = [{"patterns": _HIDING}, *({"patterns": [one]} for one in _HIDING), {"preset": "payment"}]
    return [_under(entry, text) for entry in entries for text in _HIDDEN]


def _under(entry: dict[str, Any], text: str) -> dict[str, Any]:
    flow, named = new_flow(), ["TAINT12345"]
    learn(flow, named, is_certain=True)
    undo = activate(policy_of(entry, "redact"))
    try:
        taken = snapshot([text], flow)
        shown = scrub(taken, flow.taints)[0]
    finally:
        undo()
    return {"redact": entry, "named": named, "text": text, "scrubbed": shown, "later": scrub(taken, flow.taints)[0]}


def _run_of(text: str, count: int) -> str:
    return text * count


@about(
    "Caps. The input of a node is {key: value} with the value: text count times (text), a list of count zeros (list), a mapping "
    "of count keys k0, k1 ... to 0 (mapping), count nested lists around 1 (depth), or 0 below a key of count letters k (key). "
    "kept is how much is left, end is what stands at the end."
)
def caps() -> Cases:
    made: Cases = []
    for text in ("x", "\u00e4", "\U0001f600"):
        for count in (8192, 8193, 20000):
            logged = _logged_value(_run_of(text, count))
            kept = len(logged) - len(logged.lstrip(text))
            made.append({"kind": "text", "text": text, "count": count, "kept": kept, "end": logged[kept:]})
    for count in (200, 201, 1000):
        logged = _logged_value([0] * count)
        kept = sum(1 for item in logged if item == 0)
        made.append({"kind": "list", "count": count, "kept": kept, "end": logged[kept:]})
        logged = _logged_value({f"k{number}": 0 for number in range(count)})
        kept = sum(1 for key in logged if key.startswith("k"))
        made.append({"kind": "mapping", "count": count, "kept": kept, "end": dict(list(logged.items())[kept:])})
    for count in (14, 15, 16, 40):
        logged, kept = _logged_value(json.loads("[" * count + "1" + "]" * count)), 0
        while isinstance(logged, list):
            logged, kept = logged[0], kept + 1
        made.append({"kind": "depth", "count": count, "kept": kept, "end": logged})
    for count in (255, 256, 257, 300):
        (key,) = _logged_value({"k" * count: 0})
        kept = len(key) - len(key.lstrip("k"))
        made.append({"kind": "key", "count": count, "kept": kept, "end": key[kept:]})
    return made


def _logged_value(value: Any) -> Any:
    flow = new_flow()
    return remembered(flow).scrubbed(snapshot({"key": value}, flow), "input")[0]["key"]


@about("Lines that are too long: an event whose data gets, for each key, a text of count letters x; and its line, read back.")
def long_lines() -> Cases:
    plain = event(1, "log", message="m", metrics={"items": 2})
    failed = event(
        1, "error", message="e" * 3000, data={"error": {"type": "E", "message": "e" * 3000}}, metrics={"duration_ms": 1.0}
    )
    root = event(1, "entry", data={"name": "n", "schema_version": 1, "runtime": "r"})
    made = []
    for base, sizes in [(plain, {"a": 60_000}), (plain, {"a": 70_000}), (failed, {"output": 70_000}), (root, {"input": 100_000})]:
        data = {**base["data"], **{key: "x" * count for key, count in sizes.items()}}
        made.append(
            {"event": base, "added": sizes, "is_cut": len(to_line({**base, "data": data})) < sum(sizes.values()), "line": None}
        )
        if made[-1]["is_cut"]:
            made[-1]["line"] = json.loads(to_line({**base, "data": data}))
    return made
