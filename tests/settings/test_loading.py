"""Settings from texts: precedence, defaults, ranges, faults, warnings."""

from __future__ import annotations

import pickle
from contextlib import suppress
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.errors import SettingsError
from hotbandd.settings import DEFAULT_PAIRS, PREFIXES, TABLE, Credentials, Settings, load
from hotbandd.settings.declaration import Derived

DESKTOP = (
    "SESSION_MANAGER",
    "XDG_SESSION_TYPE",
    "DESKTOP_SESSION",
    "HOME",
    "PATH",
    "LOGNAME",
    "LANG",
    "SHELL",
    "USER",
    "TERM",
    "PWD",
    "OLDPWD",
    "SSH_AUTH_SOCK",
    "GDMSESSION",
    "COLORTERM",
    "LESSOPEN",
    "DISPLAY",
    "EDITOR",
    "VIRTUAL_ENV",
    "RUN_ID",
    "CI",
    "LOG_DIR",
    "COST_CENTER",
    "HTTP_PROXY",
    "SESSION_ID",
)


def one(**environ: str) -> Settings:
    return load(environ, None).settings


def faults(environ: dict[str, str] | None = None, file: str | None = None, **options: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(environ or {}, file, **options)
    assert caught.value.exit_code == 2
    return str(caught.value).split("\n")


def test_defaults_are_those_of_the_contract() -> None:
    settings = one()
    assert settings.pairs == DEFAULT_PAIRS
    assert settings.http_address == ("127.0.0.1", 8100)
    assert settings.candle_source == ("oanda", None)
    assert (settings.valkey_url, settings.oanda_api_key, settings.http_token) == (None, None, None)
    assert settings.hysteresis_pair_json == {"NZD_USD": 0.12, "USD_CHF": 0.15}
    assert settings.workers >= 1
    expected = {
        "HOTBAND_HOME": ".",
        "HOTBAND_KERNEL": "calibrated",
        "HOTBAND_STRATEGY": "combined",
        "HOTBAND_PROCESSING_INTERVAL": "10",
        "HOTBAND_COMPUTE": "process",
        "LEASE_TTL_SEC": "15",
        "OANDA_ENVIRONMENT": "practice",
        "CANDLE_COUNT": "1500",
        "CANDLE_GRAN": "M1",
        "CANDLE_HOT_DAYS": "95",
        "CANDLE_RETENTION_DAYS": "95",
        "SIGNAL_RETENTION_DAYS": "7",
        "MANIFOLD_RETENTION_DAYS": "90",
        "SNAPSHOT_RETENTION_DAYS": "365",
        "EVAL_INTERVAL_SEC": "900",
        "DECISION_LAG_SEC": "10",
        "EVAL_MIN_TRADES": "8",
        "EVAL_CALMAR_MIN": "0.1",
        "EVAL_PNL_MIN": "0",
        "EVAL_ADAPTIVE_SHARE": "0.5",
        "REQ_CONSEC": "2",
        "COOLDOWN_SEC": "7200",
        "HYSTERESIS_DEFAULT": "0.1",
        "GATES_BLOB_MAX_AGE_SEC": "1800",
        "AUTO_MIN_COHERENCE": "0.55",
        "GUARD_MIN_COHERENCE": "0.55",
        "AUTO_DIRECTION_LOOKBACK": "12",
        "AUTO_DIR_THRESHOLD_BPS": "2",
        "GUARD_MIN_STABILITY": "0.4",
        "AUTO_MAX_ENTROPY": "0.7",
        "AUTO_MAX_RUPTURE": "0.6",
        "AUTO_MAX_HAZARD": "1",
        "AUTO_GUARD_ENFORCE": "1",
        "COST_FROM_SPREAD": "0",
        "SESSION_TRADING_ENABLED": "1",
        "SESSION_EXIT_MINUTES": "5",
        "SESSION_PATTERN_MIN_OCCURRENCES": "2",
        "SESSION_PATTERN_LOOKBACK_MIN": "60",
        "SIGNATURE_PRECISION": "1",
        "SIGNATURE_LEVELS": "4",
        "ALLOC_INTERVAL_SEC": "600",
        "ALLOC_TOP_K": "3",
        "ALLOC_W_C": "0.6",
        "ALLOC_W_STAB": "0.2",
        "ALLOC_W_RUP": "0.15",
        "ALLOC_W_ENT": "0.05",
        "ALLOC_W_HAZARD": "0",
        "ALLOC_SCORE_WINDOW_MIN": "60",
        "ALLOC_INCUMBENT_BONUS": "0.25",
        "ALLOC_MIN_CHANGE": "0.01",
        "ALLOC_HOLD_MODE": "hold",
        "ALLOC_MAX_HOLD_SEC": "3600",
        "ALLOC_REDISTRIBUTE": "0",
        "RISK_ALLOC_TARGET_PCT": "0.3",
        "PM_MAX_PER_POS_PCT": "0.1",
        "TRIALS_MAX_COMBINATIONS": "20000",
        "PROMOTE_MIN_DSR": "0",
        "PROMOTE_MAX_PBO": "1",
        "BACKFILL_ON_DEPLOY": "1",
        "RUN_TRIALS_ON_DEPLOY": "1",
        "APPLY_WINNERS_ON_DEPLOY": "1",
        "DISENGAGE_KILL_ON_SUCCESS": "0",
        "LOG_LEVEL": "info",
        "LOG_FORMAT": "auto",
    }
    assert expected.items() <= settings.shown().items()


def test_every_field_is_named_as_its_setting() -> None:
    for field, setting in TABLE.items():
        assert setting.name in {field.upper(), f"HOTBAND_{field.upper()}"}


def test_every_setting_shows_as_what_would_set_it() -> None:
    settings = one(STRANDS_C_MIN="0.4", AUTO_MIN_COHERENCE="p60", COST_BPS_JSON='{"EUR_USD":1.5}')
    again = load(settings.shown(), None).settings
    assert again == settings


def test_the_environment_goes_before_the_file_and_the_file_before_the_default() -> None:
    loaded = load({"ALLOC_TOP_K": " 5 "}, "ALLOC_TOP_K=4\nREQ_CONSEC=3 # strict\n")
    assert (loaded.settings.alloc_top_k, loaded.settings.req_consec, loaded.settings.eval_min_trades) == (5, 3, 8)
    assert loaded.sources["ALLOC_TOP_K"] == "environment"
    assert loaded.sources["REQ_CONSEC"] == "file"
    assert loaded.sources["EVAL_MIN_TRADES"] == "default"
    assert set(loaded.sources) == {setting.name for setting in TABLE.values()}


def test_an_empty_optional_value_in_the_environment_turns_off_what_the_file_sets() -> None:
    assert load({"VALKEY_URL": ""}, "VALKEY_URL=redis://cache").settings.valkey_url is None


def test_derived_defaults_follow_what_they_derive_from_until_they_are_set() -> None:
    settings = one(EVAL_INTERVAL_SEC="60", AUTO_MIN_COHERENCE="p70", HOTBAND_KERNEL="native")
    assert settings.gates_blob_max_age_sec == 120
    assert settings.guard_min_coherence == "p70"
    assert settings.auto_guard_enforce is False
    explicit = one(EVAL_INTERVAL_SEC="60", GATES_BLOB_MAX_AGE_SEC="90", HOTBAND_KERNEL="native", AUTO_GUARD_ENFORCE="1")
    assert explicit.gates_blob_max_age_sec == 90
    assert explicit.auto_guard_enforce is True


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("HOTBAND_PAIRS", "EUR_USD, XAU_USD", ("EUR_USD", "XAU_USD")),
        ("HOTBAND_KERNEL", "NATIVE", "native"),
        ("HOTBAND_SOURCE", "replay:/srv/my candles", "replay:/srv/my candles"),
        ("LOG_LEVEL", "INFO", "info"),
        ("LEASE_TTL_SEC", "0.5", 0.5),
        ("AUTO_MAX_ENTROPY", "p62.5", "p62.5"),
        ("AUTO_MAX_ENTROPY", "p100", "p100"),
        ("AUTO_MAX_RUPTURE", "1e-1", 0.1),
        ("ALLOC_REDISTRIBUTE", "1", True),
        ("HOTBAND_HTTP", "[::1]:0", "[::1]:0"),
        ("HOTBAND_HTTP", "localhost:80", "localhost:80"),
        ("VALKEY_URL", "rediss://user:pass@host:6380/0", "rediss://user:pass@host:6380/0"),
        ("VALKEY_URL", "unix:///run/valkey.sock", "unix:///run/valkey.sock"),
        ("SESSION_WINDOWS_JSON", '{"windows":{}}', {"windows": {}}),
    ],
)
def test_a_value_is_taken(name: str, text: str, value: object) -> None:
    field = next(field for field, setting in TABLE.items() if setting.name == name)
    assert getattr(one(**{name: text}), field) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("HOTBAND_PAIRS", ""),
        ("HOTBAND_PAIRS", "EUR_USD,"),
        ("HOTBAND_PAIRS", "eur_usd"),
        ("HOTBAND_PAIRS", "EUR_USD,EUR_USD"),
        ("HOTBAND_PAIRS", "../../etc_passwd"),
        ("HOTBAND_SOURCE", "replay:"),
        ("HOTBAND_SOURCE", "replay"),
        ("HOTBAND_SOURCE", "oanda:x"),
        ("HOTBAND_KERNEL", "fancy"),
        ("HOTBAND_STRATEGY", "Com bined"),
        ("HOTBAND_WORKERS", "0"),
        ("HOTBAND_WORKERS", "1_000"),
        ("HOTBAND_WORKERS", "٣"),
        ("HOTBAND_WORKERS", "9" * 5000),
        ("HOTBAND_HTTP", "8100"),
        ("HOTBAND_HTTP", ":8100"),
        ("HOTBAND_HTTP", "h:65536"),
        ("HOTBAND_HTTP_TOKEN", "two words"),
        ("HOTBAND_HTTP_TOKEN", "grün"),
        ("VALKEY_URL", "http://h"),
        ("VALKEY_URL", "redis://"),
        ("VALKEY_URL", "redis://h:port"),
        ("VALKEY_URL", "redis://[::1"),
        ("LEASE_TTL_SEC", "0"),
        ("LEASE_TTL_SEC", "nan"),
        ("LEASE_TTL_SEC", "inf"),
        ("LEASE_TTL_SEC", "1e999"),
        ("CANDLE_GRAN", "M5"),
        ("EVAL_INTERVAL_SEC", "900.5"),
        ("AUTO_MIN_COHERENCE", "1.01"),
        ("AUTO_MIN_COHERENCE", "p101"),
        ("AUTO_MIN_COHERENCE", "p"),
        ("AUTO_GUARD_ENFORCE", "yes"),
        ("AUTO_GUARD_ENFORCE", ""),
        ("RISK_ALLOC_TARGET_PCT", "30"),
        ("PM_MAX_PER_POS_PCT", "-0.1"),
        ("HYSTERESIS_PAIR_JSON", "[]"),
        ("HYSTERESIS_PAIR_JSON", '{"EURUSD":0.1}'),
        ("HYSTERESIS_PAIR_JSON", '{"EUR_USD":"0.1"}'),
        ("HYSTERESIS_PAIR_JSON", '{"EUR_USD":true}'),
        ("HYSTERESIS_PAIR_JSON", '{"EUR_USD":NaN}'),
        ("HYSTERESIS_PAIR_JSON", '{"EUR_USD":0.1,"EUR_USD":0.2}'),
        ("HYSTERESIS_PAIR_JSON", '{"EUR_USD":0.1'),
        ("COST_BPS_JSON", '{"EUR_USD":-1}'),
        ("COST_BPS_JSON", '{"EUR_USD":1e999}'),
        ("SESSION_WINDOWS_JSON", "[" * 20_000),
        ("SESSION_WINDOWS_JSON", " " * 70_000),
        ("SESSION_WINDOWS_JSON", "1"),
        ("SESSION_WINDOWS_JSON", '{"a":' + "1" * 5000 + "}"),
        ("OANDA_ACCOUNT_ID", "../x"),
    ],
)
def test_a_value_that_is_wrong_stops_the_start_and_is_named(name: str, text: str) -> None:
    (fault,) = faults({name: text})
    assert fault.startswith(f"{name} (in the environment) must be ")
    assert len(fault) < 300


@pytest.mark.parametrize(
    ("field", "setting"), [(f, s) for f, s in TABLE.items() if " from " in s.kind.accepts and "JSON" not in s.name]
)
def test_a_number_is_bounded_on_both_sides(field: str, setting: Any) -> None:
    for text in ("-1e17", "1e17", "-100000000000000001", "100000000000000001", "x", ""):
        assert faults({setting.name: text})[0].startswith(setting.name)


def test_all_faults_come_in_one_message_each_on_its_line() -> None:
    found = faults(
        {"HOTBAND_PAIR": "x", "ALLOC_TOP_K": "many"}, "REQ_CONSEC=0\nALLOC_TOPK=1\nnonsense\n", source_needed=True
    )
    assert found == [
        "Line 3 of the settings file must be NAME=VALUE, with every quote closed.",
        "ALLOC_TOPK (in line 2 of the settings file) is no setting; did you mean ALLOC_TOP_K?",
        "HOTBAND_PAIR (in the environment) is no setting; did you mean HOTBAND_PAIRS?",
        "REQ_CONSEC (in line 1 of the settings file) must be a whole number from 1 to 100: '0' is not.",
        "ALLOC_TOP_K (in the environment) must be a whole number from 1 to 1000: 'many' is not.",
        "HOTBAND_SOURCE=oanda needs OANDA_API_KEY (or OANDA_API_KEY_FILE); set one, or HOTBAND_SOURCE=simulated to try without.",
    ]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_an_unknown_name_of_ours_in_the_file_is_a_fault(prefix: str) -> None:
    (fault,) = faults({}, f"{prefix}QQQ_ZZZ=1")
    assert fault.startswith(f"{prefix}QQQ_ZZZ (in line 1 of the settings file) is no setting")


def test_names_of_others_in_the_file_are_left_to_them() -> None:
    loaded = load({}, "POSTGRES_PASSWORD=x\nFRONTEND_PORT=1\nSAUTO_MIN_COHERENCE=1\n")
    assert loaded.warnings == ["SAUTO_MIN_COHERENCE is no setting, and is ignored; AUTO_MIN_COHERENCE is."]


def test_a_desktop_is_not_warned_of() -> None:
    assert load(dict.fromkeys(DESKTOP, "x"), None).warnings == []


@pytest.mark.parametrize("name", ["OANDA_APIKEY", "ALLOC_TOPK", "EVAL_INTERVAL_SECS", "VALKEY_URI", "hotband_pairs"])
def test_a_name_in_the_environment_that_nearly_matches_is_warned_of(name: str) -> None:
    (warning,) = load({name: "1"}, None).warnings
    assert warning.startswith(f"{name} is no setting, and is ignored; ")


def test_oanda_needs_a_key_only_where_candles_are_fetched() -> None:
    assert load({}, None).settings.source == "oanda"
    assert "HOTBAND_SOURCE=oanda needs OANDA_API_KEY" in faults(source_needed=True)[0]
    assert load({"OANDA_API_KEY": "k"}, None, source_needed=True).settings.oanda_api_key
    assert load({"HOTBAND_SOURCE": "simulated"}, None, source_needed=True)


def test_scores_need_a_weight() -> None:
    (fault,) = faults(dict.fromkeys(("ALLOC_W_C", "ALLOC_W_STAB", "ALLOC_W_RUP", "ALLOC_W_ENT"), "0"))
    assert "must be above 0" in fault


def test_hot_candles_are_kept_ones() -> None:
    assert load({"CANDLE_HOT_DAYS": "40"}, None).settings.candle_retention_days == 40
    assert load({"CANDLE_HOT_DAYS": "3", "CANDLE_RETENTION_DAYS": "95"}, None).settings.candle_retention_days == 95
    (fault,) = faults({"CANDLE_HOT_DAYS": "40", "CANDLE_RETENTION_DAYS": "39"})
    assert "must not be below CANDLE_HOT_DAYS" in fault


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"STRANDS_C_MIN": "0.5"}, "without effect"),
        ({"HOTBAND_HTTP": "0.0.0.0:8100"}, "beyond this machine"),
        ({"HOTBAND_HTTP": "hotband.example:8100"}, "beyond this machine"),
        ({"HOTBAND_HTTP_TOKEN": "short"}, "can be guessed"),
        ({"EVAL_INTERVAL_SEC": "10"}, "DECISION_LAG_SEC is not shorter"),
        ({"GATES_BLOB_MAX_AGE_SEC": "900"}, "expire before they are renewed"),
        ({"PM_MAX_PER_POS_PCT": "0.4"}, "never bounds"),
        ({"CANDLE_HOT_DAYS": "20"}, "CANDLE_RETENTION_DAYS is below 30; the history never suffices, and no gate opens"),
        ({"CANDLE_HOT_DAYS": "3", "CANDLE_RETENTION_DAYS": "20"}, "no gate opens"),
        ({"HYSTERESIS_DEFAULT": "0.5"}, "clamped"),
        ({"HYSTERESIS_PAIR_JSON": '{"EUR_USD":0.5}'}, "clamped"),
    ],
)
def test_what_is_allowed_but_odd_is_said(environ: dict[str, str], words: str) -> None:
    (warning,) = load(environ, None).warnings
    assert words in warning


@pytest.mark.parametrize("http", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"])
def test_loopback_is_nothing_to_warn_of(http: str) -> None:
    assert load({"HOTBAND_HTTP": http}, None).warnings == []


SECRETS = {
    "HOTBAND_HTTP_TOKEN": "token-of-some-length",
    "OANDA_API_KEY": "key-of-some-length",
    "VALKEY_URL": "redis://me:pa%40ss@host/0?password=other",
}


def test_secrets_do_not_show() -> None:
    settings = one(**SECRETS)
    seen = f"{settings!r} {settings} {settings.shown()} {settings.http_token} {settings.oanda_api_key!r} {settings.http_token:>30}"
    assert not any(secret in seen for secret in settings.secrets())
    assert "me:" not in seen
    assert settings.shown()["VALKEY_URL"] == "redis://***@host/0?***"
    assert set(settings.secrets()) == {"token-of-some-length", "key-of-some-length", "pa%40ss", "pa@ss", "other"}
    assert settings.oanda_api_key is not None
    assert settings.oanda_api_key.reveal() == "key-of-some-length"


@pytest.mark.parametrize("name", SECRETS)
def test_a_fault_of_a_secret_does_not_show_it(name: str) -> None:
    assert "hush" not in faults({name: "hush hush\x01"})[0]
    assert "hush" not in faults({}, f"{name}='hush hush")[0]


def test_a_credential_is_used_where_nothing_else_is_given() -> None:
    credentials = Credentials({"OANDA_API_KEY": "from-file"}, [])

    def key(environ: dict[str, str], file: str) -> tuple[str, str]:
        loaded = load(environ, file, credentials=credentials)
        assert loaded.settings.oanda_api_key
        return loaded.settings.oanda_api_key.reveal(), loaded.sources["OANDA_API_KEY"]

    assert key({}, "") == ("from-file", "credential")
    assert key({"OANDA_API_KEY": ""}, "OANDA_API_KEY=") == ("from-file", "credential")
    assert key({}, "OANDA_API_KEY=mine") == ("mine", "file")
    assert key({"OANDA_API_KEY": "env"}, "OANDA_API_KEY=mine") == ("env", "environment")


def test_credentials_that_cannot_be_read_stop_only_who_needs_them() -> None:
    credentials = Credentials({}, ["/run/key cannot be read."])
    assert load({}, None, credentials=credentials).warnings == ["/run/key cannot be read."]
    assert "/run/key cannot be read." in faults(credentials=credentials, source_needed=True)


def test_settings_are_frozen_and_can_be_sent_to_another_process() -> None:
    settings = one(**SECRETS)
    with pytest.raises(FrozenInstanceError):
        settings.alloc_top_k = 4  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert replace(settings, alloc_top_k=4) != settings


NAMES = st.sampled_from([setting.name for setting in TABLE.values()])


@given(st.dictionaries(NAMES | st.text(max_size=20), st.text(max_size=40), max_size=5), st.text(max_size=200))
def test_any_text_gives_settings_or_a_settings_error(environ: dict[str, str], file: str) -> None:
    with suppress(SettingsError):
        loaded = load(environ, file)
        assert set(loaded.settings.shown()) == {setting.name for setting in TABLE.values()}


def test_every_default_is_written_as_it_would_be_set() -> None:
    plain = {s.name: s.default for s in TABLE.values() if not isinstance(s.default, Derived)}
    assert load(plain, None).settings == one()
