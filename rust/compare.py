"""Compare the answers of the Rust crate with those of the Python package, on texts from the tests and on mixtures of them.

    python rust/compare.py [--count 20000] [--seed 1]

Both the package and ``cargo`` are needed. It prints the first differences, and exits with 1 if there is one.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

from the_edge_obs.context import FlowState
from the_edge_obs.event import problems
from the_edge_obs.handlers.formatters import to_line
from the_edge_obs.jsonl import decoded
from the_edge_obs.redaction import snapshots
from the_edge_obs.redaction.marks import cut_paths
from the_edge_obs.redaction.texts import scrub, scrub_text
from the_edge_obs.secrets import words
from the_edge_obs.secrets.keys import classify
from the_edge_obs.secrets.taints import MAX_CHARS
from the_edge_obs.secrets.values import look_of
from the_edge_obs.text import printable

HERE = Path(__file__).parent
VERDICTS = ("plain", "secret", "token", "weak", "odd", "value", "key")
SIGNS = [
    *"=:=:= \n\"'`\\,;&|<>()[]{}@/.-_%#$!?*+~\t",
    *(": ", " = ", '="', '": "', "://", '\\"', "\\n", "%3D", "&quot;", " is ", "==", "=>", "--", "</", "Bearer ", "Basic "),
    *("curl -u ", "mysql -p", "?key=", "-----BEGIN ", "PRIVATE KEY-----", "…", "é", "密码", "İ", "ß", "\x1c", "\u2028", "²", "٣"),
]


def literals() -> list[str]:
    """Return the texts that stand in the tests of the package, without lone surrogates."""
    found: dict[str, None] = {}
    for path in sorted((HERE.parent / "tests").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) <= 5_000:
                found[node.value] = None
    return [text for text in found if not re.search("[\ud800-\udfff]", text)]


def mixed(rng: random.Random, texts: list[str], names: list[str]) -> str:
    """Return a text of names, signs and parts of other texts."""
    pieces = []
    for _ in range(rng.randint(1, 9)):
        kind = rng.random()
        if kind < 0.35:
            pieces.append(rng.choice(SIGNS))
        elif kind < 0.65:
            name = rng.choice(names)
            pieces.append(rng.choice((name, name.upper(), name.title(), name + "_" + rng.choice(names))))
        elif kind < 0.8:
            pieces.append("".join(rng.choices("abcdefghXYZ0123456789-_.", k=rng.randint(1, 40))))
        else:
            text = rng.choice(texts)
            at = rng.randrange(len(text))
            pieces.append(text[at : at + rng.randint(1, 60)])
    return "".join(pieces)


SECRETS = sorted({*words.SECRET_WORDS, *words.WEAK_WORDS, "token", "api_key", "apiKey", "X-API-Key", "user_token"})
CLOSES = ["", "", "", '"', "'", '\\"', '"]', "**", "%22", "&quot;"]
ASSIGNS = [
    *(
        "=",
        ":",
        ": ",
        " = ",
        "=>",
        " -> ",
        ":=",
        "==",
        "%3D",
        "&#61;",
        " is ",
        " ",
        ", ",
        ">",
        " | ",
        "\t",
        "(",
        ': "',
        '="',
        "='",
    ),
    *(":\n  ", ": |\n  ", ' string = "', ", value: '", '" value="', ": Bearer ", ": Basic ", ": [", ": {x}"),
]


def told(rng: random.Random, texts: list[str], names: list[str]) -> str:
    """Return a text in which a name has a value."""
    kind = rng.random()
    chars = rng.choice(("abcdefgh", "abcXYZ012", "0123456789", "aB3$-_./+=", "abcdef0123456789"))
    value = "".join(rng.choices(chars, k=rng.choice((2, 3, 5, 8, 12, 20, 36, 40, 300))))
    if kind < 0.3:
        value = rng.choice(names)
    elif kind < 0.4:
        value = " ".join(rng.choices([*names, value], k=rng.randint(2, 5)))
    elif kind < 0.6:
        beginnings, _ = rng.choice(words.FORMATS + words.LOOSE_FORMATS)
        value = rng.choice(beginnings.split()) + "".join(rng.choices(chars, k=rng.choice((16, 20, 24, 32, 40, 48, 64, 100))))
    name = rng.choice(SECRETS)
    name = rng.choice((name, name, name.upper(), "db_" + name, name + "_id", "API key", "my" + name.title()))
    quote = rng.choice(("", "", '"', "'", '\\"'))
    ends = rng.choice(("", " ", ",", ";", ")", "\n", "&x=1", "</a>", " and so on", "."))
    before = rng.choice(
        ("", "", "\n", "the ", "{", "<", "--", "?", '"', "- name: ", "curl -u me:", "https://me:", mixed(rng, texts, names))
    )
    return f"{before}{name}{rng.choice(CLOSES)}{rng.choice(ASSIGNS)}{quote}{value}{quote}{ends}" + rng.choice(
        ("", mixed(rng, texts, names))
    )


def number(rng: random.Random) -> str:
    """Return a number as JSON writes it, or nearly so."""
    sign, digits = rng.choice(("", "-")), "".join(rng.choices("0123456789", k=rng.randint(1, 25)))
    return sign + rng.choice(
        (digits, f"{digits}.{rng.randint(0, 999)}", f"{digits}e{rng.randint(-330, 330)}", repr(rng.random()))
    )


def value(rng: random.Random, texts: list[str], names: list[str], depth: int = 0) -> Any:
    """Return a value of JSON, with secrets in it that may come again."""
    kind = rng.random()
    if depth > 3 or kind < 0.45:
        secret = rng.choice(("hunter2xyz", "corr/ect ho'rse", "123456", "me:pa55word", "Basic bWU6cGE1NXdvcmQ=", "S3cr3t & more"))
        known = (secret, f"again {secret}!", quote(secret), rng.choice(names), rng.choice(texts)[:300], told(rng, texts, names))
        numbers = (123456, -123456, 12, 0.5, None, True, 2**63, 10**30, rng.randint(-(10**6), 10**6))
        return rng.choice((rng.choice(known), rng.choice(known), rng.choice(numbers)))
    if kind < 0.46:
        return "x " * rng.choice((10, 100, 4000, 9000)) + told(rng, texts, names) + " y" * rng.choice((0, 3000, 9000))
    count = rng.choice((0, 1, 2, 3, 5, 8)) if depth or rng.random() < 0.95 else rng.choice((40, 230))
    if kind < 0.65:
        flags = ("--password", "-token", "--verbose", "Authorization")
        return [rng.choice(flags) if rng.random() < 0.2 else value(rng, texts, names, depth + 1) for _ in range(count)]
    keys = [*SECRETS, "name", "value", "key", "text", "type", "logprob", "a", "b", "c", "user"]
    keys += [rng.choice(names), "k" * rng.choice((230, 255, 257, 300)), told(rng, texts, names)]
    return {rng.choice(keys): value(rng, texts, names, depth + 1) for _ in range(count)}


def event(rng: random.Random, texts: list[str], names: list[str]) -> dict[str, Any]:
    """Return an event that may be too long for a line."""
    flow_id = "9f0df4a5-a646-4772-b822-7adce460ed24"
    keys = ("error", "cut", "input", "output", "a b", "é", "k" * 70, *names[:99])
    many = rng.choice((3, 10, 60, 400))
    data = {rng.choice(keys) + rng.choice(("", str(at))): value(rng, texts, names) for at in range(many)}
    data["large"] = rng.choice(("", "é" * 40_000, "\x01" * 20_000, ["x"] * 20_000))
    if rng.random() < 0.5:
        data["cut"] = ["large", "message", *(f"{key}.x" for key in data)]
    data["error"] = rng.choice((None, {"type": "E" * 300, "message": rng.choice(texts) * 9, "where": "f"}))
    metrics = {rng.choice(names) + str(at): at for at in range(rng.choice((0, 5, 70, 3_000)))} | {"tokens": 5}
    if rng.random() < 0.5:
        metrics["…"] = 7
    named = {"node": rng.choice(("n", "node" * 300)), "level": "info", "timestamp": 1.5, "event_type": "log"}
    message = rng.choice((None, "", "m", rng.choice(texts), "é" * 3_000))
    ids = {"flow_id": flow_id, "span_id": flow_id, "parent_id": None}
    # As in an event that was scrubbed, integers beyond 64 bits are texts.
    return {**ids, **named, "message": message, "data": _numbers(data), "metrics": metrics}


def cases(count: int, seed: int) -> list[dict[str, str]]:
    """Return what is asked."""
    rng = random.Random(seed)
    texts = literals()
    names = sorted({word for value in vars(words).values() if isinstance(value, frozenset) for word in value})
    found = [{"ask": ask, "text": text} for ask in ("classify", "look_of", "redact", "json") for text in texts]
    found += [{"ask": ask, "text": name} for ask in ("classify", "look_of") for name in names]
    for _ in range(count):
        text = rng.choice((mixed, told, told))(rng, texts, names)
        found.append({"ask": rng.choice(("classify", "look_of", "redact", "redact", "redact")), "text": text})
    # Every character; the last of a block twice, for U+FE0F is judged by its neighbour.
    blocks = ("".join(map(chr, range(at, at + 256))) for at in range(0, 0x110000, 256) if not 0xD800 <= at < 0xE000)
    found += [{"ask": "printable", "text": f"{block}{block[-1]}"} for block in blocks]
    found += [{"ask": "line", "text": json.dumps(event(rng, texts, names))} for _ in range(count // 50)]
    found += [{"ask": "snapshot", "text": json.dumps(value(rng, texts, names))} for _ in range(count // 5)]
    for _ in range(count // 10):
        text = number(rng)
        found += [{"ask": "json", "text": text}, {"ask": "json", "text": json.dumps([mixed(rng, texts, names)])}]
    return found


def expected(case: dict[str, str]) -> object:
    """Return what the Python package answers."""
    ask, text = case["ask"], case["text"]
    if ask == "classify":
        return VERDICTS[classify(text)]
    if ask == "look_of":
        return look_of(text)
    if ask == "redact":
        return scrub_text(text)
    if ask == "printable":
        return printable(text)
    try:
        value = decoded(text)
    except ValueError:
        return {"error": "..."}
    if ask == "problems":
        return len(problems(value))
    if ask == "line":
        return to_line(value)
    if ask == "snapshot":
        flow = FlowState("9f0df4a5-a646-4772-b822-7adce460ed24", "compared")
        taken = snapshots.snapshot(value, flow)
        if flow.taints.chars > MAX_CHARS // 3 or flow.taints.lost:
            return None  # which secrets have no room depends on how many spellings a runtime knows
        clean = scrub(taken, flow.taints)
        return [json.dumps(clean, ensure_ascii=False, separators=(",", ":")), cut_paths("input", taken, clean)]
    # Numbers alone become fit for JSON here: the texts stay.
    written = json.dumps(_numbers(value), ensure_ascii=False, separators=(",", ":"))
    return None if re.search("[\ud800-\udfff]", written) else written  # Rust's texts have no half of a surrogate pair


def _numbers(value: object) -> object:
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return value if isinstance(value, str) else scrub(value)


def common(one: str, two: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    pairs = enumerate(zip(one, two, strict=False))
    return next((at for at, (first, second) in pairs if first != second), min(len(one), len(two)))


def main() -> int:
    """Compare, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    # The short way of Python's snapshots depends on what was captured before: near the caps it counts characters differently.
    snapshots._small_items = -1
    asked = cases(options.count, options.seed)
    command = ["cargo", "run", "--quiet", "--bin", "tea-obs-rs", "--", "vectors"]
    lines = "".join(json.dumps(case) + "\n" for case in asked)
    done = subprocess.run(command, input=lines.encode(), stdout=subprocess.PIPE, cwd=HERE, check=True)
    answers = [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]
    assert len(answers) == len(asked), (len(answers), len(asked))
    counted: dict[str, list[int]] = {}
    shown = 0
    for case, answer in zip(asked, answers, strict=True):
        wanted = expected(case)
        if wanted is None:
            continue
        if isinstance(answer, dict):
            answer = {"error": "..."}
        counts = counted.setdefault(case["ask"], [0, 0])
        counts[0] += 1
        if answer != wanted:
            counts[1] += 1
            shown += 1
            if shown <= 20:
                one, two = str(wanted), str(answer)
                at = max(0, common(one, two) - 60)
                print(
                    f"{case['ask']} of {case['text'][:900]!r}\n  Python {one[at : at + 300]!r}\n  Rust   {two[at : at + 300]!r}"
                )
    for ask, (total, different) in counted.items():
        print(f"{ask}: {total:,} cases, {different:,} different")
    return 1 if shown else 0


if __name__ == "__main__":
    raise SystemExit(main())
