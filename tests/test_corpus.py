"""Redaction on the corpus: how much of what is secret goes, and how much of what is harmless stays."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import pytest

from .benchmarks import scrubbers
from .corpus import Sample, leaves, samples
from .corpus.scoring import Score, Scrubber, score, together


class Floors(NamedTuple):
    """The least shares of one kind, in per cent; None where the corpus has nothing to measure one on.

    Attributes:
        recall: Of the samples with secrets, those that show none any more.
        kept: Of the harmless samples, those that are unchanged.
        rest: Of the words beside the secrets in texts, those that are still there.
    """

    recall: int | None
    kept: int | None
    rest: int | None


FLOORS = {
    "keys: words": Floors(100, 99, None),
    "keys: snake": Floors(100, None, None),
    "keys: keys": Floors(97, None, None),
    "keys: camel": Floors(100, None, None),
    "keys: kebab": Floors(100, None, None),
    "keys: env": Floors(100, None, None),
    "keys: dotted": Floors(100, None, None),
    "keys: header": Floors(100, None, None),
    "keys: fused": Floors(94, None, None),
    "keys: sessions": Floors(100, None, None),
    "keys: languages": Floors(100, None, None),
    "keys: compound": Floors(95, None, None),
    "keys: counts": Floors(None, 100, None),
    "keys: llm": Floors(None, 100, None),
    "keys: paging": Floors(None, 100, None),
    "keys: ids": Floors(None, 100, None),
    "keys: names": Floors(None, 100, None),
    "keys: urls": Floors(None, 100, None),
    "keys: booleans": Floors(None, 100, None),
    "keys: dates": Floors(None, 100, None),
    "keys: states": Floors(None, 100, None),
    "formats": Floors(99, None, 96),
    "texts: headers": Floors(100, 100, 60),
    "texts: urls": Floors(100, 100, 96),
    "texts: env": Floors(100, 100, 92),
    "texts: json": Floors(100, 100, 94),
    "texts: yaml": Floors(100, 100, 96),
    "texts: xml": Floors(100, 100, 92),
    "texts: config": Floors(93, 100, 95),
    "texts: sql": Floors(88, 100, 97),
    "texts: code": Floors(98, 100, 94),
    "texts: shell": Floors(93, 100, 99),
    "texts: connections": Floors(95, 100, 93),
    "texts: logs": Floors(97, 100, 93),
    "texts: tracebacks": Floors(93, 100, 98),
    "texts: reprs": Floors(100, 100, 94),
    "texts: prose": Floors(100, 100, 97),
    "texts: containers": Floors(100, 100, 100),
    "texts: encoded": Floors(100, 100, 88),
    "texts: languages": Floors(100, 100, 100),
    "texts: ids": Floors(None, 100, None),
    "texts: lookalikes": Floors(None, 100, None),
    "texts: web": Floors(None, 100, None),
    "texts: chat": Floors(None, 100, None),
    "texts: paths": Floors(None, 100, None),
}


@cache
def measured() -> dict[str, Score]:
    return score(scrubbers.ours(), samples())


@pytest.mark.slow
@pytest.mark.parametrize("kind", FLOORS)
def test_no_kind_falls_below_its_floors(kind: str) -> None:
    """A leak and a harmless text that is eaten are the same fault; the message shows each of them."""
    shares = measured()[kind].shares
    found = Floors(*(None if shares[name] is None else int(100 * shares[name] + 1e-9) for name in Floors._fields))
    pairs = zip(found, FLOORS[kind], strict=True)
    reached = Floors(*(least if share is None or least is None else min(share, least) for share, least in pairs))
    assert reached == FLOORS[kind], scrubbers.misses(measured()[kind])


@pytest.mark.slow
def test_every_kind_has_floors() -> None:
    """No sample is left out of the measurement."""
    assert list(measured()) == list(FLOORS)
    has = {kind: tuple(share is None for share in list(one.shares.values())[:3]) for kind, one in measured().items()}
    assert has == {kind: tuple(least is None for least in floors) for kind, floors in FLOORS.items()}


def test_the_corpus_has_both_sides() -> None:
    """At least 300 secret keys and 300 harmless ones, 300 secret texts and 300 harmless ones, and every format once."""
    least = {"keys": (300, 300), "texts": (300, 300), "formats": (150, 0)}
    sides = {group: together(one for kind, one in measured().items() if kind.startswith(group)) for group in least}
    few = [group for group, one in sides.items() if one.secret < least[group][0] or one.harmless < least[group][1]]
    assert few == []
    values = [repr(sample.value) for sample in samples()]
    assert sorted(set(values)) == sorted(values)


def test_secrets_are_parts_of_their_samples_and_of_no_harmless_one() -> None:
    """What must vanish is there to begin with, and nothing that must stay holds it."""
    harmless = "\n".join(str(sample.value) for sample in samples() if not sample.secrets)
    secret = [(sample, text) for sample in samples() for text in sample.secrets]
    assert [(sample, text) for sample, text in secret if text not in "\n".join(leaves(sample.value))] == []
    assert [text for _, text in secret if len(text) > 7 and text in harmless] == []


def test_what_scoring_counts() -> None:
    """A part of a secret is a leak, a changed harmless text is eaten, and a blanked line loses its rest."""
    made = [
        Sample("k", {"password": "abcdefghijkl"}, ("abcdefghijkl",)),
        Sample("k", "login with abcdefghijkl today", ("abcdefghijkl",)),
        Sample("k", "sunny day"),
        Sample("k", "rainy day"),
    ]
    out = {"login with abcdefghijkl today": "login with ***abcdefgh today", "sunny day": "sunny day", "rainy day": "*** day"}
    half = Scrubber(out.__getitem__, lambda value: {"password": "***"})
    blank = Scrubber(lambda text: "***", lambda value: {"password": "***"})
    of = {name: score(one, made)["k"].shares for name, one in {"half": half, "blank": blank}.items()}
    assert of == {
        "half": {"recall": 0.5, "kept": 0.5, "rest": 1.0, "precision": 0.5},
        "blank": {"recall": 1.0, "kept": 0.0, "rest": 0.0, "precision": 0.5},
    }


def test_the_table_names_every_kind_and_scrubber() -> None:
    """The comparison that the documents show comes from the corpus as it is."""
    lines = scrubbers.table({"one": measured(), "other": measured()}).splitlines()
    assert lines[0] == "| kind | secret | harmless | one | other |"
    assert [line.split(" | ")[0][2:] for line in lines[2:] if "**" not in line] == [kind for kind in FLOORS if kind != "formats"]
