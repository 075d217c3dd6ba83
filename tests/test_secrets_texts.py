"""Secrets in texts: found whole under whatever spelling of a name, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from the_edge_obs.redaction.texts import PLACEHOLDER, scrub_text
from the_edge_obs.secrets.keys import KEY_CLASSES, KeyClasses
from the_edge_obs.secrets.texts import find, is_surely_clean

SECRET = "s3cr3tV4lue9xQ"
ASSIGNED = [
    'password := "§"',
    'TOKEN ::= "§"',
    'FOO_TOKEN :::= "§"',
    "KEY_TOKEN ?= §",
    '$password .= "§"',
    "password = `§`",
    '"password" => "§"',
    'api_key <- "§"',
    "password -> §",
    'var fooToken string = "§"',
    "const apiKey: string = '§';",
    'Dim dbPassword As String = "§"',
    "DECLARE @password NVARCHAR(40) = N'§';",
    'let password = String::from("§")',
    'secretKey := []byte("§")',
    'source.setPassword("§");',
    'setProperty("FOO_TOKEN", "§")',
    "os.environ['API_KEY'] = '§'",
    "auth = BasicAuth('ada', '§')",
    'requests.get(u, auth=("ada", "§"))',
    "{'name': 'password', 'val': '§'}",
    '{"name": "password", "value": "§"}',
    'variable "db_password" {\n  default = "§"\n}',
    "- name: DB_PASSWORD\n  value: §",
    "password: |\n  §\n  and §\nnext: 1",
    "password: >-\n  §\n",
    "password:\n  §",
    "API key: §",
    "mot de passe : §",
    "<password>§</password>",
    "<db:password>§</db:password>",
    "<password>\n   §\n</password>",
    '<x password="§"/>',
    "<secret><![CDATA[§]]></secret>",
    "<key>apiToken</key>\n<string>§</string>",
    '<property name="password">§</property>',
    '<add key="DbPassword" value="§"/>',
    "&lt;password&gt;§&lt;/password&gt;",
    "&quot;password&quot;:&quot;§&quot;",
    '{\\"password\\": \\"§\\"}',
    "token%3D§",
    "%22password%22%3A%22§%22",
    "?next=%2Fcb%3Ftoken%3D§%26x%3D1",
    "password\\u003d§\\u0026user\\u003dapp",
    "--password §",
    "--token=§",
    "['--password', '§']",
    "-e DB_PASSWORD=§",
    "export API_KEY=§",
    "setenv API_KEY §123",
    "curl -u ada:§ https://x",
    "mysql -u root -p§ db",
    "sshpass -p § ssh x",
    "redis-cli -a §",
    "ALTER USER x PASSWORD '§'",
    "CREATE USER x IDENTIFIED BY '§'",
    "SET PASSWORD FOR 'a'@'%' = '§'",
    "| password | § |",
    "- **Password**: `§`",
    "password is §",
    "my password: §",
    "(password=§)",
    "{password=§, user=bob}",
    "password=§(b)[c]",
    'apikey_myservice: "§"',
    "config.password = '§'",
    'string(3) "x" ["password"]=> string(11) "§"',
    'client_secret: {"value": "§"}',
    "userPassword: {SSHA}§7ZUgiWoVhLTh0rStW5Mc",
]
HARMLESS = [
    "Enter password:\nWelcome back",
    "API_KEY=\nDEBUG=true",
    "basic introduction to it",
    "bearer certificates are",
    "password: must be 8 chars",
    "def login(password: str) -> None:",
    "password=None",
    "sk-estimator-doc-link",
    "api_key=None",
    "sig=SIGTERM",
    "method signature = f(x)",
    "authorization_status: approved",
    "password_policy: strict",
    "secret_name: prod/db",
    "token_url: https://x.y/z",
    "has_password: False",
    "jwt_algorithm=HS256",
    "eos_token=</s>",
    "next_page_token=abc123def456",
    "max_tokens=100",
    "Unexpected token '}' in JSON at position 4",
    "Password: required",
    "the secret is out",
    "passed: 12, failed: 2",
    "monkey=banana",
    "author=Ada",
    "tokenizer=cl100k_base",
    "passwords do not match",
    "token expired at 2026-01-01T00:00:00Z",
    "session: started",
    "auth: none",
    "auth=basic",
    "signature: verified",
    "password=self.password",
    "password=get_password()",
    "token = os.environ['TOKEN']",
    "secret = secrets.token_urlsafe(32)",
    "--token <token>",
    "password: ********",
    "secret: [REDACTED]",
    "{'token': None}",
    '"password": "string"',
    "apiKey: process.env.API_KEY",
    "PASSWORD=${DB_PASS}",
    "password={{ state.pw }}",
    "const token = await getToken();",
    "if (password === confirmPassword) {",
    "password: SecretStr",
    "Session: 30546173_4261722401 initialized by client",
    "for sessionid: 0x14ede63a5a70002",
    "token=Token{a64f992 ActivityRecord}",
    'read -s -p "Password: " password',
    "http://localhost:8080/users/@me",
    "git@github.com:a/b.git",
    "https://medium.com/@user/post",
    "ssh://git@github.com/x",
    "docker run -u 1000:1000 x",
    "primary_key: id",
    "Bearer token missing",
    "Authorization: required",
    '"Authorization: Bearer" followed by a token',
    "--color-token-primary: #1f6feb;",
    "secrets.yaml: 3 lines",
    "password = (sensitive value)",
    "akka.tcp://sparkExecutorActorSystem@mesos-slave-07:55904",
    "https://13957525385%40163.com@p28-contacts.example.org/",
]


@pytest.mark.slow
@pytest.mark.parametrize("text", ASSIGNED)
def test_a_secret_name_takes_its_value_away(text: str) -> None:
    """In code, configuration, markup, shells, SQL and sentences; scrubbed twice is scrubbed once."""
    clean = scrub_text(text.replace("§", SECRET))
    assert SECRET not in clean
    assert PLACEHOLDER in clean
    assert scrub_text(clean) == clean


NAMELESS = [
    "sent bearer AbC123.def-456_ghi on",
    "Basic dXNlcjpwYXNzd29yZA==",
    "-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----",
    "curl -u ada:pw-1 x",
    "wget --password=pw-1 x",
    "sshpass -p pw-1 ssh a",
    "mysqldump -h h -psecret1 db",
    "redis-cli -a pw-1",
    "docker login -p pw-1",
    'ConvertTo-SecureString "pw-1"',
    "htpasswd -b file ada pw-1",
    "smbclient //a/b -U 'ada%pw-1'",
    "http -a ada:pw-1 x",
    "CREATE USER a IDENTIFIED BY 'x1'",
    "/map?key=aB3dE5fG7~hJ9kL2mN4~pQ6r",
    "/cb?code=aB3dE5fG7~hJ9kL2mN4~pQ6r",
    "redis://:pw-1@db",
    "see postgres%3A%2F%2Fada%3Apw-1%40db",
]


@pytest.mark.parametrize("text", ASSIGNED + NAMELESS)
def test_what_was_found_once_is_found_again(text: str) -> None:
    """Words that are remembered as plain never hide a secret: the same text, its words known by now, gives the same spans."""
    classes = KeyClasses()
    text = text.replace("§", SECRET[:12])  # short enough to be remembered
    spans = find(text, classes)
    assert spans
    assert [find(text, classes) for _ in range(3)] == [spans] * 3  # its words are known first, then its parts


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_texts_are_unchanged(text: str) -> None:
    """Prose, code, schemas, counts, names, logs and URLs that only sound secret."""
    assert scrub_text(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ('credentials="AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"', 'credentials="[REDACTED]"'),
        ('password = "ghp_aaaabbbbccccddddeeeeffff0000111122.rest0fTheSecret99"', 'password = "[REDACTED]"'),
        ("Authorization: Api-Token 22cb987851bc5659229114c62e60c79abd0d2c08", "Authorization: [REDACTED]"),
        ('Authorization: Digest username="ada", response="opaque-4711"', "Authorization: [REDACTED]"),
        ('curl -H "Authorization: Bearer abcdef123456" -o x', 'curl -H "Authorization: [REDACTED]" -o x'),
        ('gitlab_token: "glpat-abcdefghijklmnopqrst.vzd3abcd"', 'gitlab_token: "[REDACTED]"'),
        ("FLY_API_TOKEN: FlyV1 fm2_lJPECAAAAAAAAAAAxBBqq1q", "FLY_API_TOKEN: [REDACTED]"),
        ("aws_secret_access_key: value with spaces 9Xk2", "aws_secret_access_key: [REDACTED]"),
        ("Cookie: theme=dark; sid=opaque-4711\nNext: 1", "Cookie: [REDACTED]\nNext: 1"),
        ("password=hunter2&user=bob", "password=[REDACTED]&user=bob"),
        ("password='it\\'s hunter2' user='bob'", "password='[REDACTED]' user='bob'"),
        ("f(password=hunter2)", "f(password=[REDACTED])"),
        ("Login failed: password=hunter2.", "Login failed: password=[REDACTED]."),
    ],
)
def test_the_whole_value_goes_and_no_more(text: str, clean: str) -> None:
    """Whatever stands inside: a known format, blanks, escaped quotes; what comes behind stays."""
    assert scrub_text(text) == clean


def test_spans_neither_touch_nor_overlap() -> None:
    """A URL in a quoted value, a format in a header: one span."""
    text = 'password="postgres://u:s3cr3t7@h" token=ghp_' + "aB3" * 12
    spans = find(text, KEY_CLASSES)
    assert [text[start:end] for start, end in spans] == ["postgres://u:s3cr3t7@h", "ghp_" + "aB3" * 12]
    assert find("nothing here", KEY_CLASSES) == []


def test_names_in_other_scripts() -> None:
    """Letters are letters, and the wide colon is a colon."""
    assert scrub_text("пароль: tr0ub4dor, 密码：tr0ub4dor") == f"пароль: {PLACEHOLDER}, 密码：{PLACEHOLDER}"  # noqa: RUF001


@given(
    st.lists(st.sampled_from(ASSIGNED) | st.sampled_from(["the report", "curl it", "a basic one", "é"]), max_size=4),
    st.sampled_from([SECRET, "hunter2", "correct horse"]),
    st.integers(0, 30),
)
def test_texts_that_are_clean_at_once_are_clean_one_by_one(texts: list[str], secret: str, start: int) -> None:
    """Looking through texts together overlooks nothing that is found in one of them."""
    texts = [text.replace("§", secret)[start * (len(text) > 20) :] for text in texts]
    if is_surely_clean("\n".join(texts), KEY_CLASSES):
        assert [text for text in texts if find(text, KEY_CLASSES)] == []


def test_ordinary_texts_are_clean_at_once() -> None:
    """Words that came before, and short new ones."""
    texts = ["The export of the report hangs at 80 percent.", "Could you tell me whether yours has such a table?"]
    assert is_surely_clean("\n".join(texts), KEY_CLASSES)
    assert is_surely_clean("\n".join(texts), KEY_CLASSES)
