"""The one table of redaction: words that make a key secret, ordinary words, and formats of secrets.

The same words decide for keys of dicts and names in texts (``secrets.keys``), the same word list for values
(``secrets.values``), and the same formats for texts (``secrets.texts``). This module holds only data, so a word is added in
one place; that is why it is long.

The words come from the scrubbing lists of Sentry, Logfire, Rollbar, Rails, Django, Datadog and Elastic APM, and from the
formats that issuers of keys publish for secret scanning.
"""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# --- keys -------------------------------------------------------------------------------------------------------------

SECRET_WORDS: Final = _words(
    """
    password passwords passwd passwds pwd passw passphrase passphrases passcode passcodes secret secrets secrete
    authorization authorisation credential credentials cred cookie cookies apikey apikeys apisecret apitoken accesskey
    accesskeys accesstoken privatekey seedphrase privatekeys secretkey authkey authtoken signingkey masterkey
    encryptionkey sharedkey sessionkey sessiontoken refreshtoken clientsecret keypass keypassphrase sshkey jwt jwts
    bearer htpasswd connectionstring connectionstrings dockerconfigjson basicauth httpauth proxyauth masterauth psk
    mdp geheimnis dockerconfig hasł connstring connstr dsn jsessionid phpsessid csrf xsrf csrftoken xsrftoken
    csrfmiddlewaretoken passkey passwordhash hmac senha senhas contraseña contraseñas contrasena contrasenas passwort
    passworter passwörter kennwort kennwörter motdepasse wachtwoord wachtwoorden hasło hasła losenord lösenord
    adgangskode passord salasana heslo haslo hasla jelszo jelszó parolă şifre sifre пароль пароли секрет 密码 密碼 口令
    パスワード 비밀번호 암호
    """
)
"""Words that make a key secret anywhere in it."""

FUSED_ENDINGS: Final = (
    *"password passwords passwd passphrase passcode secret secrets apikey apikeys secretkey accesskey privatekey".split(),
    *"signingkey encryptionkey authkey masterkey".split(),
    *"sessionkey sharedkey sshkey gpgkey licensekey credential credentials accesstoken".split(),
    *"refreshtoken authtoken bearertoken sessiontoken csrftoken xsrftoken idtoken connectionstring sessionid".split(),
    *"passwort kennwort wachtwoord contrasena motdepasse".split(),
)
"""Endings that make a compound without separators secret: ``dbpassword``, ``openaiapikey``."""

FUSED_OWNERS: Final = _words(
    """
    require bind db database user admin root mysql pg postgres postgresql redis mongo mongodb smtp ftp sftp ldap imap
    mail email http https proxy ssh ssl tls vpn wifi aws s3 gcp azure google github gitlab slack stripe openai anthropic
    twilio sentry app client api server service system login web jenkins docker registry nexus artifactory npm pypi sa
    oracle mssql sql hive kafka rabbit rabbitmq ora key cert keystore truststore store pgp my sudo su storage access refresh
    auth bearer session csrf xsrf id secret bot webhook deploy personal private public oauth oauth2 jwt device push
    verification reset hf
    """
)
"""Beginnings of secret compounds without separators that end in ``pass``, ``pwd``, ``key`` or ``token``."""

KEY_OWNERS: Final = _words(
    """
    api access private secret auth signing sign signature encryption encrypt decryption crypt cipher ssh gpg pgp account
    master subscription service client consumer app application license licence hmac shared priv database db storage session
    deploy webhook admin root crypto wallet jwt oauth tls ssl rsa aes ecdsa ed25519 registration developer integration
    project org organization team user personal server bot data sas recovery backup activation product serial openai
    anthropic stripe twilio sendgrid mailgun mailchimp datadog dd newrelic sentry github gitlab slack aws azure gcp google
    firebase algolia pagerduty opsgenie pusher segment mixpanel amplitude cohere mistral groq gemini huggingface hf
    replicate together fireworks perplexity deepseek openrouter cloudflare digitalocean heroku vercel netlify supabase
    functions write ingestion ingest instrumentation fernet plaintext chave maps tracking read invite pinecone weaviate
    langsmith langchain wandb tavily serper serpapi elevenlabs deepgram assemblyai brave exa
    """
)
"""Words before ``key`` that make it a secret key: ``api_key``, ``STRIPE_KEY``."""

WEAK_KEY_OWNERS: Final = _words(
    """
    database db data user org organization team project product serial google slack github gitlab aws app application
    service client server account storage session bot admin root registration developer integration activation consumer
    azure gcp sign signature brave exa together segment recovery backup personal
    """
)
"""Owners whose ``key`` is often a name too: its value must look like a secret."""

TOKEN_WORDS: Final = _words("token tokens tkn")
TOKEN_OWNERS: Final = _words(
    """
    access refresh auth bearer session csrf xsrf api secret id bot user app client oauth oauth2 personal deploy github
    gitlab slack npm pypi vault webhook device push verification reset login jwt admin service account hf security private
    password x my logfire principal remember invite activation confirmation
    """
)
"""Words before ``token`` that make it a credential, not a piece of a text."""

WEAK_WORDS: Final[dict[str, int]] = {
    "session": 12, "sessions": 12, "sessionid": 12, "sessid": 12, "sid": 12,
    "auth": 6, "authn": 8, "pass": 4, "pw": 5, "pword": 4, "signature": 32,
    "signatures": 32,
    "sig": 32, "sign": 32, "signed": 32, "salt": 12, "certificate": 32, "crypt": 12, "mnemonic": 24, "authentication": 12,
    "pin": 4, "otp": 4, "totp": 4, "mfa": 4, "creds": 6, "clave": 4, "parola": 4, "chave": 8,
}  # fmt: skip
"""Words that are often but not always names of secrets, each with the least number of digits of a secret number."""

FILE_ENDINGS: Final = _words(
    """
    txt md json yaml yml py js ts go java rb php html css log logs csv xml png jpg svg pdf zip tar gz ini cfg conf toml lock
    sh
    """
)
"""After a dot, they make a name a file name: ``secrets.yaml``."""

STILL_SECRET_AFTER: Final = _words(
    """
    json pem data value string raw plain plaintext hash hashed new old current confirm confirmation confirmed repeat again
    retype prod production dev development staging test live main master default base64 b64 bytes hex base primary secondary
    backup key keys token secret password pass code phrase encoded encrypted md5 sha1 sha256 digest salt api app admin user
    root db database der crt p12 pfx jks seed first second a b c x y z"
    """
)
"""Words after the secret word with which the value stays secret: ``password_confirmation``, ``credentials_json``."""

SAFE_AFTER: Final = _words(
    """
    id ids name names url urls uri uris path paths file files filename filenames dir directory folder type types kind format
    status state states policy policies algorithm algorithms alg method methods mode modes strategy provider providers
    endpoint endpoints issuer issuers audience scope scopes expires expiry expiration expired expire exp created updated
    modified rotated changed set revoked deleted issued used seen at on date time timestamp datetime ttl age lifetime
    validity duration timeout interval rotation length len size count counts limit limits budget usage details max min total
    per level strength score entropy rule rules requirement requirements required enabled disabled optional allowed valid
    invalid verified exists present missing configured available active inactive protected visible hidden version versions
    label labels title description descriptions hint hints help placeholder prompt question message messages error errors
    reason warning field fields column columns input form page screen view button link header headers param params parameter
    parameters attribute attributes property properties schema class model manager service factory store storage backend
    handler helper util utils config settings option options env var variable variables ref refs reference references source
    sources target namespace region location index position offset range logprobs logprob bucket buckets prefix suffix
    pattern regex template charset encoding owner user users username email group groups role roles client clients attempts
    attempt retries failures failed reset change changes update rotate renew request requests result results tracker
    response responses flow grant grants domain domains host port samesite consent banner jar notice resource resources
    verify verification by from lock stats stat generator validator validation checker check checks scanning scanner
    detection rate price cost pricing window capacity vocab vocabulary ratio last four eight digits fingerprint thumbprint
    arn capability capabilities event events hook encryption encoder engine permissions permission recipe game leeway kid
    found eaten log logs csv
    """
)
"""Words after the secret word that describe the secret: ``password_policy``, ``api_key_id``, ``token_url``."""

SECRET_PHRASES: Final = tuple(
    """
    auth header, authorization header, conn string, conn str, connection string, connection strings, seed phrase, recovery phrase,
    recovery code, recovery codes, backup codes, mot de passe, clave secreta, basic auth, http auth, proxy auth, master auth,
    auth data, private pem, pass phrase, pass word, pass code, access code
    """.strip()
    .replace("\n   ", "")
    .split(", ")
)
"""Words that make a key secret together."""

LATER_WORDS: Final = _words("key keys passe")
"""Words of texts that the words before them can make a secret name: ``API key``, ``mot de passe``."""

STRICT_WORDS: Final = tuple("session sessions sessionid sid auth authn authentication sign signed signature certificate".split())
"""Endings of weak names that are common before a colon in logs: there the value must look random."""

UNSAFE_AFTER: Final = ("access key id", "secret key id", "session id", "sessionid", "secret id")
"""Endings in which the first words decide, not the last: AWS's ``aws_access_key_id`` is half of a pair."""

SAFE_BEFORE: Final = _words(
    """
    samesite existing image function method has have is are was no not without with needs need requires require required
    show hide forgot forgotten use uses using num n number count total max min if should can must allow allows enable
    disable missing invalid unexpected"
    """
)
"""Words before the secret word that make the key a question or a count: ``has_password``, ``max_token``."""

TOKEN_BEFORE: Final = _words(
    """
    eos bos pad unk sep cls mask start end stop special first last next prev previous page continuation continue cursor sync
    watch delta input output prompt completion cached reasoning total max min num count new begin current word sub line json
    syntax lexer ast parse parser unexpected image audio video tool think thinking budget avg mean text
    """
)
"""Words before ``token`` that make it a piece of a text, a number of them, or a place in a list: ``eos_token``."""

SAFE_WORDS: Final = _words(
    """
    secretary secretariat secretaries secretion tokenizer tokenizers tokenize tokenized tokenization tokenise tokeniser
    detokenize detokenizer compass bypass trespass surpass overpass underpass encompass passenger passengers passport
    passports passive passing passed passage passion authors author authority authorities authored authentic keyboard monkey
    donkey turkey hockey jockey whiskey pinned pinning spinner session_state sessionstorage pincode signatory design signal
    signals signalling assign assigned assignment consign resign cookiecutter cookbook bucketname pagetoken nextpagetoken
    nexttoken eostoken bostoken padtoken unktoken
    """
)
"""Ordinary words that happen to contain a secret word."""

VALUE_KEYS: Final = _words("value values val vals text default content data current parametervalue optionvalue")
NAME_KEYS: Final = _words(
    """
    name key header field variable param parameter property attribute id label parameterkey parametername optionname
    """
)
"""``{"name": "password", "value": "x"}``: the value of one of the ``NAME_KEYS`` decides about the ``VALUE_KEYS``."""

TOKEN_NEIGHBOURS: Final = _words("logprob logprobs bytes top_logprobs id pos index token_id score offset start end rank special")
"""Keys beside which ``token`` is a piece of a text."""

PRESETS: Final[dict[str, frozenset[str]]] = {
    "payment": _words(
        """
    cardnumber cardno ccnumber creditcard creditcardnumber debitcard debitcardnumber primaryaccountnumber pan cvv cvv2 cvc
    cvc2 csc cid cardcode securitycode cardsecuritycode cardverificationvalue verificationvalue cardexpiry expirydate
    expmonth expyear cardexpmonth cardexpyear trackdata track1 track2 magstripe iban bban bic swift accountnumber
    bankaccount bankaccountnumber routingnumber sortcode otp onetimepassword pin pinblock ssn socialsecuritynumber
    socialsecurity taxid taxnumber cardholder cardholdername cavv cryptogram
    """
    )
}
"""Further secret keys of an area, as ``fold`` writes them: ``redact: {preset: payment}``."""

# --- values -----------------------------------------------------------------------------------------------------------

ORDINARY: Final = _words(
    """
    a malformed corrupt corrupted mismatched unreadable truncated outdated stale fresh broken blacklisted undecodable
    unparsable reused duplicate duplicated pending rejected stolen renewed rolled erforderlich requis requerido obligatorio
    richiesto vereist wymagane about above accept accepted access account active add added address admin administrator after
    again agent all allow allowed alpha also an and any anonymous api app application apply are array as ask at attempt auth
    authentication authenticated author authorization authorized auto automatic available back bad base64 basic be bearer
    because been before being below beta between blank block blocked body bool boolean boto both browser but button by bytes
    cache call called can cancel cannot canceled cancelled case change changed changeme char character characters check city
    class clear click client close closed code colour color column comma command comment complete completed component
    computed config configuration configured confirm confirmed connect connected connection console const constant contain
    contains content context continue control cookie cookies correct could count counted create created credential
    credentials cryptic current custom customer data database date datetime debug decimal decrypt default define defined
    delete deleted demo denied deny describe description dev developer development device dict dictionary did different
    digest digit digits disable disabled disconnected display do document does done dot double down draft dummy each echo
    edit editor either else email empty enable enabled encrypt encrypted encryption end enter entered entry enum env
    environment error errors even event every example exception exist exists expect expected expire expired expires
    expression external fail failed failure fake false field file filled filter final find first float fill follow following
    foo for forbidden force foreign forgot forgotten form format found free from full function general generate generated
    get github give given global go good got granted group guest handle handler has hash hashed have he header hello help
    here hidden hide high hint his home host how http https human i id identifier idle if ignore ignored image immediate in
    inactive include included incorrect index info information inherit init initial inline input insert inside instead int
    integer interface internal invalid invite is issue issued it item its itself json just keep key keys kind know known
    label language large last later latest latin learn least left length less let letter letters level library like limit
    line linear link list listed load local locale location lock locked log logged login logout long look low lowercase
    lower machine made mail main make manage managed manager mandatory manual many map masked match matched maximum may me
    mean medium member memory message method min minimum mismatch missing mode model module monitor month more most must my
    name named native need needed needs never new next nil no n/a tbd nobody none nor normal not nothing notice now null
    number numbers numeric oauth oauth2 obj object of off offline ok old ollama omit on once one online only open option
    optional or order org organization origin other our out output over own owner package page param parameter parameters
    parent parse part pass passed password passwords passphrase path pattern per permission permissions permitted person
    phone placeholder plain plaintext please plus policy pool port post present preview previous print private prod
    production profile program project prompt property protected provide provided provider proxy public put query question
    quit quoted random range rate raw read reader ready real reason received redacted redirect ref refresh refused region
    register registered regular reject release reload remember remote remove removed replace report request requested
    require required reset resource response rest restart restricted result retry return returns returned revoke revoked
    right role root rotate rotated row rule run running safe same sample save saved say schema scheme scope screen script
    search secret secrets secure security see select self send sent separate server service session set sets setting
    settings shall she short should show shown sign signature signed signin signup simple since single site size skip
    skipped small so some something source space special specified standard start started state static status step still
    stop store stored str strict string strings strong struct style subject submit success succeeded such super support
    supported system table tag take task team temp temporary test testing tests text than that the their them then there
    these they this those time timeout title to today todo token tokens tomorrow too tool top total track true try tuple two
    type types unauthorized unauthenticated unchanged undefined under unexpected unique unix unknown unless unlimited unlock
    unlocked unset until unused up update updated upper uppercase us usage use used user username users uses using utf8
    valid validate validated value values var variable vault verified verify version via view visible void wait waiting want
    warn warning was way we weak web week welcome were what when where which while who why will with without word words work
    worker world would write writer wrong xxx year yes yesterday yet you your yours youtube yup zero authenticate authorize
    accesses tokenized nullable readonly writeonly readwrite anthropic openai azure gemini noauth nopass nopassword
    secretsmanager keychain keyring keystore environ getenv process os sys import export lambda def async await anyof allof
    oneof uri uuid hostname ipv4 ipv6 sha1 sha256 sha512 md5 hs256 hs512 rs256 rs512 es256 bcrypt argon2 argon2id scrypt
    pbkdf2 hmac aes256 utf16 latin1 ascii http1 http2 http3 oauth1 python3 x509 gpt4 v1 v2 v3 v4 base32 p256 redis postgres
    mysql mongodb sqlite kubernetes docker aws gcp google microsoft keycloak okta auth0 ldap saml kerberos ntlm samesite lax
    httponly identity ssl tls cert certificate cram nonce preferred negotiate international understanding implementation
    documentation communication environments administrators lost leaked rotation policies requirement requirements strength
    recommended
    """
)
"""Ordinary words: a text that is one of them is not remembered as a secret, and is not redacted after a name in a text."""

COMPOUNDS: Final = _words(
    """
    client-credentials authorization-code refresh-token access-token bearer-token api-key api-keys basic-auth
    service-account service-accounts read-only read-write write-only no-store no-cache same-origin cross-origin not-set
    not-found not-required application-json form-data multi-factor two-factor single-sign-on private-key public-key
    secret-key access-key user-password default-password reset-password change-password forgot-password password-reset
    password-policy session-token id-token login-required not-configured not-provided not-available keyed-in in-memory
    kube-system token-based key-based
    """
)
"""Names of several ordinary words with hyphens: not remembered as secrets either."""

FILLERS: Final = _words(
    """
    no not none your here my placeholder example dummy fake test needed required changeme todo insert unset any
    """
)
"""Words that make words joined by hyphens a placeholder for a secret: ``sk-no-key-required``."""

FUNCTION_WORDS: Final = _words(
    """
    a an the is are was were be been must should may can cannot could will would has have had do does did not no to of for
    from with in on at by as and or but if then than that this these those it its your you my our their we they please when
    where which who"
    """
)
"""Words that make a text prose."""

SCHEMES: Final = _words(
    """
    bearer basic digest token apikey api-key negotiate ntlm hawk oauth signature aws4-hmac-sha256 flyv1 key
    """
)
"""Authentication schemes (RFC 7235), and what services use instead; the text after one is the secret."""

# --- formats ----------------------------------------------------------------------------------------------------------

_ID = r"[A-Za-z0-9_-]"
_AN = r"[A-Za-z0-9]"
LOOSE_FORMATS: Final[tuple[tuple[str, str], ...]] = (
    ("sk- sk_", rf"{_ID}{{16,512}}"),
    ("hf_ api_org_", rf"{_AN}{{20,64}}"),
    ("npm_", rf"{_AN}{{20,64}}"),
    ("gsk_ xai- pplx- r8_", rf"{_AN}{{20,128}}"),
    ("ico-", rf"{_AN}{{32}}"),
    ("csk- tvly- lsv2_pt_ lsv2_sk_", r"[A-Za-z0-9_-]{24,80}"),
    ("CFPAT- key-", r"[A-Za-z0-9_-]{30,64}"),
    ("fw_ bkua_", rf"{_AN}{{20,64}}"),
    ("oy2", r"[a-z0-9]{43}"),
    ("cio", r"[A-Za-z0-9]{32}"),
    ("AKID", r"[A-Za-z0-9]{32}"),
    ("AQVN AQVC", rf"{_ID}{{35,38}}"),
    ("AQE", r"[A-Za-z0-9+/]{100,600}={0,2}"),
    ("cflt", r"[A-Za-z0-9+/]{55,70}"),
    ("sdk- mob- api-", r"[a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}"),
    ("4b1d", rf"{_AN}{{38}}"),
    ("API-", r"[A-Z0-9]{26}"),
    ("SK", r"[0-9a-f]{32}"),
    ("rpa_", rf"{_AN}{{30,60}}"),
    ("s.", r"(?=[A-Za-z]*\d)(?=[a-z0-9]*[A-Z])[A-Za-z0-9]{24}"),
    ("EZAK EZTK", rf"{_AN}{{50,70}}"),
    ("cmVmdwt cmVmd", r"[A-Za-z0-9]{50,70}"),
    ("tk-us-", rf"{_ID}{{40,60}}"),
    ("secret_", r"[A-Za-z0-9]{40,64}"),
    ("pypi-", rf"{_ID}{{20,1024}}"),
    ("fm1_ fm1a_ fm1r_ fm2_", r"[A-Za-z0-9+/=_,-]{20,2048}"),
)
"""Formats whose prefix also occurs in ordinary names: a long part of the rest must look random."""

FORMATS: Final[tuple[tuple[str, str], ...]] = (
    # the prefixes of a secret, and the expression for the rest: prefixes in one line share it
    ("sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ rk_prod_ pk_live_ pk_test_ pk_prod_", rf"{_AN}{{10,512}}"),
    ("AKIA ASIA ABIA ACCA", r"[A-Z0-9]{16}"),
    ("ABSK", r"[A-Za-z0-9+/]{60,512}={0,2}"),
    ("bedrock-api-key-", r"[A-Za-z0-9+/]{16,1024}={0,2}"),
    ("A3T", r"[A-Z0-9]{17}"),
    ("AIza", rf"{_ID}{{30,60}}"),
    ("ya29.", rf"{_ID}{{20,1024}}"),
    ("gho_ ghp_ ghs_ ghu_ ghr_", rf"{_AN}{{20,255}}"),
    ("github_pat_", r"[A-Za-z0-9_]{20,255}"),
    (
        "glpat- gldt- glrt- glrtr- glft- glimt- glagent- gloas- glptt- glsoat- glcbt- glffct- glwt-",
        r"[A-Za-z0-9_=-]{16,300}(?:\.[A-Za-z0-9_-]{2,40}){0,3}",
    ),
    ("GR1348941", rf"{_ID}{{20,64}}"),
    ("xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xoxc- xoxe.xoxb- xoxe.xoxp- xapp- xoxd-", r"[A-Za-z0-9%+/=_-]{10,512}"),
    ("shpat_ shpca_ shppa_ shpss_", rf"{_AN}{{20,128}}"),
    ("SG.", r"[A-Za-z0-9_=-]{12,40}\.[A-Za-z0-9_=-]{12,80}"),
    ("SG.", r"[A-Za-z0-9_=.-]{50,80}"),
    ("GOCSPX-", rf"{_ID}{{20,64}}"),
    ("whsec_", r"[A-Za-z0-9+/=]{20,128}"),
    ("hvs. hvb. hvr.", rf"{_ID}{{20,512}}"),
    ("dop_v1_ doo_v1_ dor_v1_", r"[a-f0-9]{32,128}"),
    ("dapi", r"[a-f0-9]{32}(?:-\d)?"),
    ("dkea dose", r"[a-f0-9]{32}(?:-\d)?"),
    ("ATATT3 ATCTT3 ATBB", r"[A-Za-z0-9_=-]{20,512}"),
    ("glsa_", r"[A-Za-z0-9]{20,64}(?:_[A-Fa-f0-9]{8})?"),
    ("glc_", r"[A-Za-z0-9+/]{32,512}={0,2}"),
    ("lin_api_ lin_oauth_", rf"{_AN}{{20,128}}"),
    ("ntn_", r"[A-Za-z0-9]{40,64}"),
    ("PMAK-", r"[A-Fa-f0-9]{24}-[A-Fa-f0-9]{34}"),
    ("PMAT-", rf"{_AN}{{20,64}}"),
    ("pul-", r"[a-f0-9]{40}"),
    ("dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit.", r"[A-Za-z0-9._-]{20,80}"),
    ("sntrys_", r"[A-Za-z0-9+/=_-]{20,1024}"),
    ("sntryu_", r"[a-f0-9]{32,128}"),
    ("pylf_v1_ pylf_v2_", r"[A-Za-z0-9_]{16,128}"),
    ("fo1_", rf"{_ID}{{30,64}}"),
    ("HRKU-", rf"{_ID}{{30,80}}"),
    ("pscale_pw_ pscale_tkn_ pscale_oauth_", r"[A-Za-z0-9_=.-]{24,80}"),
    ("rubygems_", r"[a-f0-9]{48}"),
    ("xkeysib- xsmtpsib-", r"[a-f0-9]{64}-[A-Za-z0-9]{8,20}"),
    ("sq0atp- sq0csp- sq0idp- EAAA", rf"{_ID}{{22,80}}"),
    ("EAAM EAAC EAAB EAAG EAAD", rf"{_AN}{{80,512}}"),
    ("AGE-SECRET-KEY-1", r"[A-Z0-9]{50,70}"),
    ("ops_eyJ", r"[A-Za-z0-9+/=_-]{80,2048}"),
    ("A3-", r"[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}"),
    ("p8e-", rf"{_ID}{{32}}"),
    ("dckr_pat_ dckr_oat_", rf"{_ID}{{24,48}}"),
    ("re_", r"[A-Za-z0-9]{8}_[A-Za-z0-9]{24}"),
    ("access_token$", r"(?:production|sandbox)\$[a-z0-9]{16}\$[a-f0-9]{32}"),
    ("access-", r"(?:production|sandbox|development)-[a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}"),
    ("cfut_ cfat_", rf"{_AN}{{40,64}}"),
    ("sqp_ squ_ sqa_", r"[a-f0-9]{40}"),
    ("snyk_uat. snyk_sat.", r"[A-Za-z0-9]{8}\.[A-Za-z0-9_-]{40,120}"),
    ("napi_ rootly_", r"[a-z0-9]{40,80}"),
    ("nfp_ vercel_blob_rw_", r"[A-Za-z0-9_]{36,80}"),
    ("pat", r"[A-Za-z0-9]{14}\.[a-f0-9]{64}"),
    ("IGQV", rf"{_ID}{{80,300}}"),
    ("CCIPAT_ CCIPRJ_", r"[A-Za-z0-9]{22}_[a-f0-9]{40}"),
    ("1//0", rf"{_ID}{{40,200}}"),
    ("LTAI", r"[A-Za-z0-9]{16,24}"),
    ("AKCp", rf"{_AN}{{60,80}}"),
    ("sc_ ext_ scauth_ authress_", r"[A-Za-z0-9]{5,30}\.[A-Za-z0-9]{4,6}\.acc[_-][A-Za-z0-9-]{10,32}\.[A-Za-z0-9+/_=-]{30,120}"),
    ("CLOJARS_", rf"{_AN}{{40,80}}"),
    ("v1.0-", r"[a-f0-9]{24}-[a-f0-9]{100,200}"),
    ("duffel_test_ duffel_live_", r"[A-Za-z0-9_=-]{30,60}"),
    ("dt0c01. dt0s16. dt0s01.", r"[A-Za-z0-9]{20,30}\.[A-Za-z0-9]{50,80}"),
    ("FLWPUBK_TEST- FLWSECK_TEST- FLWPUBK- FLWSECK-", r"[A-Za-z0-9]{12,40}(?:-X)?"),
    ("fio-u-", r"[A-Za-z0-9_=-]{50,80}"),
    ("_gitlab_session=", rf"{_AN}{{32}}"),
    ("eyJrIjoi", r"[A-Za-z0-9+/=]{60,400}"),
    ("pat.", r"[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9]{20,26}\.[A-Za-z0-9]{18,24}"),
    ("sat.", r"[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9]{20,26}\.[A-Za-z0-9]{18,24}"),
    ("s-s4t2ud- s-s4t2af-", r"[a-f0-9]{64}"),
    ("sha256~", rf"{_ID}{{40,50}}"),
    ("pnu_", rf"{_AN}{{30,50}}"),
    ("rdme_", r"[a-z0-9]{60,80}"),
    ("sm_aat_ sm_pat_ sm_sat_", rf"{_AN}{{16}}"),
    ("shippo_live_ shippo_test_", r"[a-f0-9]{40}"),
    ("sgp_ sgp_local_ slk_", r"[A-Fa-f0-9_]{40,80}"),
    ("phc_ phx_", rf"{_AN}{{40,50}}"),
    ("nvapi-", rf"{_ID}{{40,80}}"),
    ("tskey-", r"[A-Za-z0-9-]{20,80}"),
    ("sbp_ sb_secret_", rf"{_ID}{{24,80}}"),
    ("figd_ figo_", rf"{_ID}{{30,80}}"),
    ("ddp_ ddw_", rf"{_AN}{{30,60}}"),
    ("NRAK- NRJS- NRII- NRAL-", r"[A-Za-z0-9-]{16,64}"),
    ("ZXlK", r"(?=[A-Za-z0-9+/]*\d)[A-Za-z0-9+/_-]{40,4096}={0,2}"),
    ("ATTA", r"[a-f0-9]{64}"),
    ("eyJ", r"[A-Za-z0-9_-]{5,1500}\.[A-Za-z0-9_-]{5,8000}(?:\.[A-Za-z0-9_-]{0,4000}){0,3}"),
)
"""Self-describing formats of secrets: prefixes, and a bounded regular expression for the rest.

JSON Web Tokens are RFC 7519, ``age`` keys are https://age-encryption.org/v1, AWS's prefixes are in its IAM user guide; the others
are published by their issuers for secret scanning.
"""

INNER_FORMATS: Final[tuple[tuple[str, int, int, str], ...]] = (
    # the inner text, how far before it the secret may begin and how far after it may end, and the expression for the whole
    ("Q~", 4, 40, r"[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"),
    (".atlasv1.", 14, 92, r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{40,80}"),
    ("-us", 32, 6, r"[a-f0-9]{32}-us\d{1,2}(?![A-Za-z0-9])"),
    (":AA", 12, 42, r"\d{8,12}:AA[A-Za-z0-9_-]{32,36}(?![A-Za-z0-9_-])"),
    ("_mmk", 36, 4, r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk"),
    ("hooks.slack.com/", 8, 180, r"(?:https?://)?hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{20,120}"),
    (".webhook.office.com/", 58, 330, r"(?:https?://)?[a-z0-9-]{1,50}\.webhook\.office\.com/[A-Za-z0-9@/_.-]{40,300}"),
    ("|", 17, 30, r"\d{15,16}\|[0-9A-Za-z_-]{27}(?![\w-])"),
    (
        "$",
        0,
        260,
        r"\$(?:2[abxy]|1|5|6|y|apr1|argon2(?:id|i|d)|pbkdf2-sha\d{1,3}|scrypt)\$[A-Za-z0-9./$=,+-]{20,200}",
    ),
    ("NRAL", 40, 4, r"[a-f0-9]{36}FFFFNRAL"),
    ("discord.com/api/webhooks/", 8, 200, r"(?:https?://)?discord\.com/api/webhooks/\d{5,30}/[A-Za-z0-9_-]{30,120}"),
)
"""Formats that are recognised by their middle."""

DOTTED: Final = r"[MNO][A-Za-z0-9_-]{22,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}"
"""A token of a Discord bot: the id in base64, a time and a signature."""

# --- hints in texts ---------------------------------------------------------------------------------------------------

STEMS: Final = tuple(
    """
    pass pwd secret token tkn key auth cred cookie jwt bearer sess sid csrf xsrf sig pin otp mfa hmac dsn conn
    pw salt certif crypt mnemonic senha contrase clave chave kennw kennwort motdep wachtw hasl senord adgangsk
    salasan hesl jelsz parol ifre psk mdp geheimnis dockerconfig hasł lösenord hasło phrase recovery backup
    access private security парол секрет 密码 密碼 口令 パスワ 비밀번 암호
    """.split()
)
"""Every built-in secret name contains one of these, in lower case; a test checks that."""

TELLING: Final = tuple(
    """
    bearer basic begin curl wget sshpass mysql redis-cli docker http identified securestring smbclient htpasswd key code 2f
    """.split()
)
"""Beginnings of words after which a secret may stand without a name: schemes, programs that take one as a flag, key blocks,
parameters of a query, and ``%2F`` of an encoded URL. These words are never remembered as plain."""
