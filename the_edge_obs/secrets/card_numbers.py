"""Numbers of payment cards and bank accounts in texts, recognised by their form and their check digits."""

from __future__ import annotations

import re
from typing import Final

_CARD: Final = re.compile(r"(?<![\w.-])[2-6]\d{3}(?:[ -]?\d){8,15}(?![\w-])")
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])")


def card_numbers(text: str) -> list[tuple[int, int]]:
    """Return the spans of card numbers (ISO/IEC 7812, with a Luhn check digit) and IBANs (ISO 13616) in a text, in order."""
    matches = [match.span() for match in _CARD.finditer(text) if _passes_luhn(re.sub(r"\D", "", match[0]))]
    matches += [match.span() for match in _IBAN.finditer(text) if _passes_mod_97(match[0].replace(" ", ""))]
    spans: list[tuple[int, int]] = []
    for start, end in sorted(matches):
        if not spans or start >= spans[-1][1]:
            spans.append((start, end))
    return spans


def _passes_luhn(digits: str) -> bool:
    if not 13 <= len(digits) <= 19:
        return False
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _passes_mod_97(iban: str) -> bool:
    if not 15 <= len(iban) <= 34:
        return False
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97 == 1
