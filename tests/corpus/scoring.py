"""How well a scrubber does on the corpus: one row for each kind.

A leak and a harmless text that is eaten are both failures, so each kind has both shares:

- recall: samples none of whose secrets is left, not even eight characters in a row of one, of those that have secrets;
- kept: harmless samples that come back as they were;
- rest: words beside the secrets that are still there, for a scrubber that blanks the whole line has no recall worth having;
- precision: of the samples in which something was taken out, those that had a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import Sample, leaves

_PART = 8  # characters of a secret in a row that tell too much
_WORDS = re.compile(r"[^\W\d_]{4,}")


class Scrubber(NamedTuple):
    """What is measured: a function for texts and one for dicts and lists."""

    text: Callable[[str], str]
    value: Callable[[Any], Any]


class Outcome(NamedTuple):
    """A sample, and what came out."""

    sample: Sample
    out: Any


@dataclass
class Score:
    """What a scrubber made of the samples of one kind, or of several.

    Attributes:
        gone, leaked: Samples with secrets.
        kept, eaten: Samples without.
        words, words_kept: Words beside the secrets.
    """

    gone: list[Outcome] = field(default_factory=list)
    leaked: list[Outcome] = field(default_factory=list)
    kept: list[Outcome] = field(default_factory=list)
    eaten: list[Outcome] = field(default_factory=list)
    words: int = 0
    words_kept: int = 0

    @property
    def shares(self) -> dict[str, float | None]:
        """Return recall, kept, rest and precision, each None where there is nothing to measure it on."""
        return {
            "recall": _share(len(self.gone), len(self.leaked)),
            "kept": _share(len(self.kept), len(self.eaten)),
            "rest": _share(self.words_kept, self.words - self.words_kept),
            "precision": _share(len(self.gone), len(self.eaten)) if self.secret and self.harmless else None,
        }

    @property
    def secret(self) -> int:
        """Return the number of samples with secrets."""
        return len(self.gone) + len(self.leaked)

    @property
    def harmless(self) -> int:
        """Return the number of samples without."""
        return len(self.kept) + len(self.eaten)

    def add(self, sample: Sample, out: Any) -> None:
        """Count one sample."""
        outcome = Outcome(sample, out)
        if not sample.secrets:
            (self.kept if out == sample.value else self.eaten).append(outcome)
            return
        shown = "\n".join(leaves(out))
        (self.leaked if any(_shows(shown, secret) for secret in sample.secrets) else self.gone).append(outcome)
        if isinstance(sample.value, str):
            self.count_words(sample, shown)

    def count_words(self, sample: Sample, shown: str) -> None:
        """Count the words beside the secrets of a text."""
        beside = sample.value
        for secret in sorted(sample.secrets, key=len, reverse=True):
            beside = beside.replace(secret, " ")
        words = set(_WORDS.findall(beside))
        self.words += len(words)
        self.words_kept += len(words & set(_WORDS.findall(shown)))


def score(scrubber: Scrubber, samples: Iterable[Sample]) -> dict[str, Score]:
    """Return the scores by kind, in the order of the samples."""
    scores: dict[str, Score] = {}
    for sample in samples:
        scrubbed = scrubber.text if isinstance(sample.value, str) else scrubber.value
        scores.setdefault(sample.kind, Score()).add(sample, scrubbed(sample.value))
    return scores


def together(scores: Iterable[Score]) -> Score:
    """Return one score of several."""
    whole = Score()
    for one in scores:
        for name in ("gone", "leaked", "kept", "eaten"):
            getattr(whole, name).extend(getattr(one, name))
        whole.words += one.words
        whole.words_kept += one.words_kept
    return whole


def _shows(shown: str, secret: str) -> bool:
    if len(secret) < _PART + 4:
        return secret in shown
    return any(secret[at : at + _PART] in shown for at in range(len(secret) - _PART + 1))


def _share(good: int, bad: int) -> float | None:
    return good / (good + bad) if good + bad else None
