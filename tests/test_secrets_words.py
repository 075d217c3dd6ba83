"""The table of words: what it promises about itself."""

from __future__ import annotations

import re

from the_edge_obs.secrets import words
from the_edge_obs.secrets.keys import PLAIN, classify
from the_edge_obs.secrets.policies import fold


def test_every_secret_word_has_a_stem() -> None:
    """Texts are asked for stems first: a secret word without one would be found as a key and missed in texts."""
    secret = {*words.SECRET_WORDS, *words.FUSED_ENDINGS, *words.TOKEN_WORDS, *words.WEAK_WORDS, "key"}
    spelled = {phrase.replace(" ", sign) for phrase in words.SECRET_PHRASES for sign in "_-"}
    assert {word for word in secret | spelled if not any(stem in word for stem in words.STEMS)} == set()


def test_every_secret_word_is_a_secret_key() -> None:
    """No word of the table is undone by another list of it."""
    assert {word for word in (*words.SECRET_WORDS, *words.FUSED_ENDINGS, *words.WEAK_WORDS) if classify(word) == PLAIN} == set()
    assert {phrase for phrase in words.SECRET_PHRASES if classify(phrase.replace(" ", "_")) == PLAIN} == set()


def test_presets_hold_folded_keys() -> None:
    """Keys of presets are compared as ``fold`` writes them."""
    assert all(fold(key) == key for keys in words.PRESETS.values() for key in keys)


def test_formats_are_bounded() -> None:
    """Each expression of a format compiles, and repeats nothing without an end."""
    expressions = [rest for _, rest in (*words.FORMATS, *words.LOOSE_FORMATS)] + [whole for *_, whole in words.INNER_FORMATS]
    for expression in (*expressions, words.DOTTED):
        re.compile(expression)
        bare = re.sub(r"\[[^\]]*\]|\\.", "", expression)
        assert not re.search(r"[*+]|\{\d+,\}", re.sub(r"\(\?=[^)]*\)", "", bare)), expression
