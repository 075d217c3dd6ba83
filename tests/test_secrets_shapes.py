"""Secrets that need no name: formats, key blocks, URLs, schemes, programs' flags."""

from __future__ import annotations

import pytest

from the_edge_obs.redaction.texts import PLACEHOLDER, scrub_text
from the_edge_obs.secrets.shapes import by_format, commands, in_urls, key_blocks, schemes

KEY = "aB3dE5gH7jK9mN1pQ3rS5tU7vW9xY1zA3bC5dE7f"


@pytest.mark.parametrize(
    "token",
    [
        "ghp_" + KEY[:36],
        "github_pat_" + KEY,
        "glpat-" + KEY[:20] + ".01.a1b2c3d4e",
        "gldt-" + KEY[:20],
        "xapp-1-A0-123-" + "0a" * 20,
        "hvs." + KEY,
        "dop_v1_" + "0a" * 32,
        "dapi" + "0a" * 16,
        "ATATT3" + KEY,
        "glsa_" + KEY[:32] + "_0a1b2c3d",
        "sk_prod_" + KEY,
        "sk-ant-api03-" + KEY,
        "sk-proj-" + KEY,
        "lin_api_" + KEY,
        "ntn_" + KEY + "abcd",
        "PMAK-" + "0a" * 12 + "-" + "0a" * 17,
        "pul-" + "0a" * 20,
        "dp.pt." + KEY,
        "sntrys_" + KEY,
        "pylf_v1_" + KEY,
        "HRKU-" + KEY,
        "pscale_tkn_" + KEY,
        "rubygems_" + "0a" * 24,
        "xkeysib-" + "0a" * 32 + "-" + KEY[:16],
        "sq0csp-" + KEY,
        "AGE-SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQPZRY9X8GF2TVDW0S3JN54KHCE",
        "ops_eyJ" + KEY * 3,
        "ABIA" + "A1B2C3D4E5F6G7H8",
        "abc8Q~" + KEY[:34],
        "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs" + "12345678901",
        "123456789:AA" + KEY[:33],
        "SK" + "0a" * 16,
        "0a" * 16 + "-us12",
        "$2b$12$" + KEY + KEY[:13],
        "npm_" + KEY[:36],
        "pypi-" + KEY,
        "hf_" + KEY[:34],
        "AIza" + KEY[:35],
        "GOCSPX-" + KEY[:28],
        "whsec_" + KEY,
        "ZXlKaGJHY2lPaUpJVXpJMU5pSjkuZXlKemRXSWlPaUl4TWpNMCJ9LmMybG4",
        "fo1_" + KEY,
        "shpss_" + "0a" * 16,
        "EAAM" + KEY * 3,
    ],
)
def test_known_formats(token: str) -> None:
    """A token of each family, in a sentence, a URL's path and quotes; it goes whole."""
    for before, behind in (("Look at ", " in the morning."), ('"', '"'), ("https://host.example/x/", "")):
        assert scrub_text(before + token + behind) in (f"{before}{PLACEHOLDER}{behind}",)


@pytest.mark.parametrize(
    "text",
    [
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "sk-estimator-doc-link-of-the-library",
        "hf_requiredCharacteristicTypesForDisplay",
        "pypi-mirror-sync-service-of-the-north",
        "0123456789abcdef0123456789abcdef01234567",
        "AKIAXXXXXXXXXXXXXXXX",
        "sha512-9fTIEvNo5+z0B2b0",
        "eyJust-a-name.of-a.thing",
        "npm_lifecycle_event_of_the_package_script",
        "API-DOCUMENTATION-OF-THE-YEAR",
        "key-value-store-of-the-project",
        "550e8400-e29b-41d4-a716-446655440000",
        "a3f5c9d2e1b4a7f8",
        "registry.example.org/team/image:v1.2.3",
    ],
)
def test_what_only_begins_like_a_format(text: str) -> None:
    """Examples filled with one letter, names with the same beginning, hashes and ids."""
    assert scrub_text(text) == text


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("postgres://ada:s3cr3t-pw@db/app", ["s3cr3t-pw"]),
        ("redis://:hunter2pw@localhost:6379/0", ["hunter2pw"]),
        ("postgres://u:pa/ss'w0rd@host/db", ["pa/ss'w0rd"]),
        ("postgres://u:p@ss@host/db", ["p@ss"]),
        ("https://q8Zt4Lm2Xc9Rb5Vn7Kd3@host/x", ["q8Zt4Lm2Xc9Rb5Vn7Kd3"]),
        ("https://q8Zt4Lm2Xc9Rb5Vn7Kd3:x-oauth-basic@host/x", ["q8Zt4Lm2Xc9Rb5Vn7Kd3", "x-oauth-basic"]),
        ("http://localhost:8080/users/@me", []),
        ("https://ada@example.org/", []),
        ("ftp://user:${PASSWORD}@host", []),
        ("a://b://c:d@e", ["d"]),
        ("://", []),
        ("https://", []),
    ],
)
def test_passwords_and_tokens_in_urls(url: str, secrets: list[str]) -> None:
    """With slashes and quotes in them, and tokens in the place of a user; ports and mail addresses are none."""
    assert sorted(url[start:end] for start, end in in_urls(url)) == sorted(secrets)


def test_key_blocks() -> None:
    """PEM and PGP, whole, with a cut end, and several; a certificate is public."""
    block = "-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----"
    pgp = "-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQ\n-----END PGP PRIVATE KEY BLOCK-----"
    text = f"a {block} b {pgp} c -----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE----- {block[:40]}"
    assert [text[start:end] for start, end in key_blocks(text)] == [block, pgp, block[:40]]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sent bearer AbC123.def-456_ghi on", ["AbC123.def-456_ghi"]),
        ("Basic dXNlcjpwYXNzd29yZA==", ["dXNlcjpwYXNzd29yZA=="]),
        ("Bearer other-secret", ["other-secret"]),
        ("bearer certificates, basic introduction", []),
        ('Bearer realm="orders"', []),
    ],
)
def test_schemes(text: str, found: list[str]) -> None:
    """What follows a scheme is taken for credentials if it looks so."""
    assert [text[start:end] for start, end in schemes(text)] == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("curl -u ada:pw-1 https://x", ["pw-1"]),
        ("curl -su 'ada:pw-1' x", ["pw-1"]),
        ("mysqldump -h h -psecret1 db", ["secret1"]),
        ("mkdir -p folder; mysql -P 3306", []),
        ("docker run -u 1000:1000 x", []),
        ("CREATE USER a IDENTIFIED BY 'x1'", ["x1"]),
        ("smbclient //a/b -U 'ada%pw-1'", ["pw-1"]),
        ("htpasswd -b file ada pw-1", ["pw-1"]),
    ],
)
def test_flags_of_programs(text: str, found: list[str]) -> None:
    """Where programs take passwords; elsewhere the same flags mean other things."""
    assert [text[start:end] for start, end in commands(text, text.lower())] == found


def test_a_format_ends_where_it_ends() -> None:
    """Two tokens with a comma between them are two."""
    token = "ghp_" + KEY[:36]
    text = f"{token},{token}"
    assert [text[start:end] for start, end in by_format(text)] == [token, token]
