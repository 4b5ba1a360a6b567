"""Settings from any text: either every given value is in effect, or one sentence for each fault; a secret is never repeated."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hotbandd.errors import SettingsError
from hotbandd.settings import TABLE, Loaded, load, read_environment
from hotbandd.settings.env_file import parse
from tests.fuzz.amount import examples

NAMES = [setting.name for setting in TABLE.values()]
FIELDS = {setting.name: field for field, setting in TABLE.items()}
NUMBERS = [
    "0",
    "1",
    "5",
    "0.5",
    "-1",
    "1e9",
    "1e999",
    "nan",
    "inf",
    "-0",
    "0x10",
    "1_000",
    "+5",
    "true",
    "yes",
    "None",
    "p50",
    "p101",
    "p-1",
    "９",
    "٣",
]
LONG = ["9" * 400, f"0.{'0' * 400}1", "[" * 100_000, '{"a":' * 3000, "x" * 70_000]
LISTS = ["EUR_USD", "eur_usd", "EUR_USD,USD_JPY", "EUR_USD,EUR_USD", "EUR_USD,,", "../etc", "EUR_USD\n", "ЕUR_USD"]
OBJECTS = [
    "{}",
    "[]",
    '{"EUR_USD":0.1}',
    '{"EUR_USD":1e999}',
    '{"EUR_USD":NaN}',
    '{"EUR_USD":1,"EUR_USD":2}',
    '{"../x":1}',
]
PLACES = [
    "oanda",
    "simulated",
    "replay:",
    "replay:/x",
    "127.0.0.1:8100",
    "[::1]:0",
    "localhost:1",
    "a:99999",
    "::::",
    "redis://h",
    "redis://h/x",
    "redis://h#f",
]
URLS = [
    "redis://:p@h:1/0?db=1",
    "rediss://h?ssl_cert_reqs=none",
    "rediss://h?ssl_ca_certs=/x",
    "redis://h:0x1",
    "unix://x/y",
    "unix:///x?db=",
]
EDGES = ["", " ", *NUMBERS, *LONG, *LISTS, *OBJECTS, *PLACES, *URLS, "\ud800"]
VALUES = st.one_of(st.sampled_from(EDGES), st.text(max_size=30), st.floats().map(repr), st.integers().map(str))
ENVIRONS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3)
SET = st.builds("{}={}".format, st.sampled_from([*NAMES, "HOTBAND_PAIR", "X", "export HOTBAND_HOME"]), VALUES)
LINES = st.lists(st.one_of(SET, SET, st.text(max_size=20).map("#{}".format), st.text(max_size=40)), max_size=3)
SPOILT = [
    "{} x",
    "{}é",
    "redis://u:{}@",
    "redis://:{}@h:x",
    "redis://u:{}@h/0?x=1",
    "http://{}@h",
    "rediss://h?password={}&x",
    "redis://h/{}",
]
LETTERS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=12)


def loaded(environ: dict[str, str], text: str | None) -> Loaded | None:
    """Load; None where that is refused, after a look at the refusal."""
    try:
        return load(environ, text, source_needed=True)
    except SettingsError as error:
        message = str(error)
    for line in message.split("\n"):
        assert line
        assert line.isprintable(), repr(line)
        assert len(line) < 700, line
    return None


@given(ENVIRONS, st.one_of(st.none(), LINES.map("\n".join)))
@examples(short=400, full=40_000)
def test_what_is_accepted_is_in_effect_and_what_is_not_is_told(environ: dict[str, str], text: str | None) -> None:
    found = loaded(environ, text)
    if found is None:
        return
    entries = {name: entry.value for name, entry in parse(text or "").entries.items()}
    for name in {*environ, *entries} & set(NAMES):
        given_text = environ[name].strip() if name in environ else entries[name]
        assert getattr(found.settings, FIELDS[name]) == TABLE[FIELDS[name]].kind.parse(given_text)
        assert found.sources[name] == ("environment" if name in environ else "file")
    plain = {name: text for name, text in found.settings.shown().items() if not TABLE[FIELDS[name]].kind.secret}
    again = load(plain, None).settings.shown()
    assert {name: again[name] for name in plain} == plain


@given(st.sampled_from(["OANDA_API_KEY", "HOTBAND_HTTP_TOKEN", "VALKEY_URL"]), LETTERS, st.sampled_from(SPOILT))
@examples(short=200, full=10_000)
def test_a_secret_that_is_refused_is_not_repeated(name: str, secret: str, form: str) -> None:
    spoilt = form.format(secret)
    for environ, text in (({name: spoilt}, None), ({}, f"{name}={spoilt}"), ({}, f'{name}="{spoilt}')):
        try:
            found = load(environ, text)
            said = [repr(found.settings), *found.warnings]
        except SettingsError as error:
            said = [str(error)]
        assert secret not in "\n".join(said)


@given(st.one_of(st.binary(max_size=300), LINES.map(lambda lines: "\r\n".join(lines).encode("utf-8", "surrogatepass"))))
@examples(short=150, full=10_000)
def test_whatever_a_settings_file_holds_it_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "settings.env"
    file.write_bytes(content)
    with suppress(SettingsError):
        inputs = read_environment(file, {})
        load(inputs.environ, inputs.env_file_text, credentials=inputs.credentials)
