"""Card numbers and IBANs in texts: found by their check digits."""

from __future__ import annotations

import pytest

from the_edge_obs.secrets.card_numbers import card_numbers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("paid with 4111 1111 1111 1111 today", ["4111 1111 1111 1111"]),
        ("5555-5555-5555-4444 and 378282246310005", ["5555-5555-5555-4444", "378282246310005"]),
        ("to DE89 3704 0044 0532 0130 00.", ["DE89 3704 0044 0532 0130 00"]),
        ("GB82WEST12345698765432", ["GB82WEST12345698765432"]),
        ("4111 1111 1111 1112", []),
        ("order 4111111111111111x, part-4111111111111111", []),
        ("DE88 3704 0044 0532 0130 00", []),
        ("at 1700000000000 or 2026-01-02 12:30:00", []),
        ("", []),
    ],
)
def test_numbers_with_right_check_digits(text: str, found: list[str]) -> None:
    """A number is found whole, with its blanks and hyphens; one whose check digit is wrong is just a number."""
    assert [text[start:end] for start, end in card_numbers(text)] == found
