"""Sessions against a naive twin that asks every minute's local time, and the days on which clocks or markets are special."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotbandd.core.sessions import CURRENCIES, WINDOWS, calendar
from hotbandd.errors import SettingsError

MINUTE = 60_000
PAIRS = ("EUR_USD", "USD_JPY", "AUD_USD", "EUR_JPY", "NZD_JPY", "EUR_GBP")
OPEN = calendar(enabled=True)
NEW_YORK = ZoneInfo("America/New_York")
ZONES = {name: ZoneInfo(window.zone) for name, window in WINDOWS.items()}


def ms(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def text(moment):
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%a %d %H:%M")


def shown(rows):
    return [f"{text(start)} - {text(end)}" for start, end in rows.tolist()]


def naive_week(moment):
    local = datetime.fromtimestamp(moment / 1000, UTC).astimezone(NEW_YORK)
    late = local.hour >= 17
    day = local.weekday()
    if day == 5 or (day == 4 and late) or (day == 6 and not late):
        return False
    trading_day = local.date() + timedelta(days=late)
    return (trading_day.month, trading_day.day) not in {(12, 25), (1, 1)}


def naive_open(pair, moment):
    utc = datetime.fromtimestamp(moment / 1000, UTC)
    for name in {CURRENCIES[currency] for currency in pair.split("_")}:
        local = utc.astimezone(ZONES[name])
        if WINDOWS[name].start <= local.hour * 60 + local.minute < WINDOWS[name].end:
            return naive_week(moment)
    return False


@settings(max_examples=400)
@given(st.sampled_from(PAIRS), st.integers(ms("2018-01-01"), ms("2031-01-01")))
def test_openness_is_that_of_local_clocks(pair, moment):
    assert OPEN.is_open(pair, moment) == naive_open(pair, moment)


@pytest.mark.parametrize(
    "start",
    [
        "2025-03-07",  # New York springs forward, and London three weeks later
        "2025-03-28",
        "2025-10-03",  # Sydney springs forward
        "2025-10-24",  # London falls back, New York a week later
        "2025-10-31",
        "2026-04-03",  # Sydney falls back
        "2024-12-23",
        "2024-12-30",
        "2022-12-23",  # 25 December and 1 January on Sundays
        "2021-12-23",  # on Saturdays
    ],
)
def test_every_minute_of_a_special_week_is_that_of_local_clocks(start):
    moments = np.arange(ms(start), ms(start) + 6 * 86_400_000, MINUTE)
    for pair in ("EUR_USD", "AUD_USD", "NZD_JPY"):
        is_open = np.array([naive_open(pair, moment) for moment in moments.tolist()])
        closing = ~is_open
        for ahead in range(1, 6):
            closing[:-ahead] |= ~is_open[ahead:]
        masks = OPEN.masks(pair, moments, 5)
        np.testing.assert_array_equal(masks.open, is_open)
        np.testing.assert_array_equal(masks.exit[:-5], closing[:-5])
        assert OPEN.open_minutes(pair, int(moments[0]), int(moments[-1]) + MINUTE) == is_open.sum()


@settings(max_examples=100)
@given(
    st.sampled_from(PAIRS),
    st.lists(st.integers(ms("2024-12-20"), ms("2025-01-10")), max_size=20).map(sorted),
    st.integers(0, 90),
)
def test_masks_say_what_single_questions_say(pair, moments, exit_minutes):
    masks = OPEN.masks(pair, np.array(moments, dtype=np.int64), exit_minutes)
    for moment, is_open, leave in zip(moments, masks.open, masks.exit, strict=True):
        assert is_open == OPEN.is_open(pair, moment)
        assert leave == (not is_open or OPEN.exit_window(pair, moment, exit_minutes))


@settings(max_examples=200)
@given(st.sampled_from(PAIRS), st.integers(ms("2023-01-01"), ms("2026-01-01")), st.integers(0, 30 * 86_400_000))
def test_openings_are_whole_whatever_range_asks_for_them(pair, start, length):
    rows = OPEN.openings(pair, start, start + length)
    wide = OPEN.openings(pair, start - 400 * 86_400_000, start + length + 400 * 86_400_000)
    inside = wide[(wide[:, 1] > start) & (wide[:, 0] < start + length)]
    np.testing.assert_array_equal(rows, inside)
    assert (np.diff(rows.ravel()) > 0).all()


@settings(max_examples=200)
@given(st.sampled_from(PAIRS), st.integers(ms("2023-01-01"), ms("2026-01-01")))
def test_opening_and_closing_are_the_ends_of_what_is_open(pair, moment):
    opens, closes = OPEN.opens_at(pair, moment), OPEN.closes_at(pair, moment)
    if OPEN.is_open(pair, moment):
        assert opens is None
        assert OPEN.is_open(pair, closes - 1)
        assert not OPEN.is_open(pair, closes)
    else:
        assert closes is None
        assert OPEN.is_open(pair, opens)
        assert not OPEN.is_open(pair, opens - 1)


def test_touching_and_overlapping_sessions_are_one_opening():
    assert shown(OPEN.openings("EUR_USD", ms("2025-06-03"), ms("2025-06-04"))) == ["Tue 03 07:00 - Tue 03 21:00"]
    touching = calendar(
        {"windows": {"London": ["Etc/UTC", "02:00", "08:00"], "Tokyo": ["Etc/UTC", "08:00", "09:00"]}}, enabled=True
    )
    assert shown(touching.openings("EUR_JPY", ms("2025-06-03"), ms("2025-06-04"))) == ["Tue 03 02:00 - Tue 03 09:00"]


def test_tokyo_and_sydney_run_across_midnight_utc():
    assert shown(OPEN.openings("AUD_JPY", ms("2025-06-03T23:59"), ms("2025-06-04"))) == ["Tue 03 21:00 - Wed 04 07:00"]
    assert OPEN.is_open("AUD_JPY", ms("2025-06-04"))


def test_a_session_keeps_its_local_hours_over_the_change_of_clocks():
    fridays_and_mondays = shown(OPEN.openings("EUR_GBP", ms("2025-03-28"), ms("2025-03-31T23:00")))
    assert fridays_and_mondays == ["Fri 28 08:00 - Fri 28 16:00", "Mon 31 07:00 - Mon 31 15:00"]
    sydney = shown(OPEN.openings("AUD_NZD", ms("2025-10-02T12:00"), ms("2025-10-06T12:00")))
    assert sydney == ["Thu 02 21:00 - Fri 03 05:00", "Sun 05 21:00 - Mon 06 04:00"]


@pytest.mark.parametrize(
    ("friday", "sunday", "hour"),
    [
        ("2025-03-07", "2025-03-09", (22, 21)),
        ("2025-10-31", "2025-11-02", (21, 22)),
        ("2025-06-06", "2025-06-08", (21, 21)),
    ],
)
def test_the_week_ends_on_friday_and_opens_on_sunday_at_17_new_york(friday, sunday, hour):
    rows = OPEN.week_openings(ms(friday), ms(sunday) + 86_400_000)
    assert rows[0, 1] == ms(f"{friday}T{hour[0]}:00")
    assert rows[1, 0] == ms(f"{sunday}T{hour[1]}:00")


def test_the_week_cuts_a_session_at_both_ends():
    assert OPEN.closes_at("AUD_USD", ms("2025-06-06T20:59")) == ms("2025-06-06T21:00")
    winter = OPEN.openings("AUD_NZD", ms("2025-01-03"), ms("2025-01-06T12:00"))
    assert shown(winter) == [
        "Thu 02 20:00 - Fri 03 04:00",
        "Fri 03 20:00 - Fri 03 22:00",
        "Sun 05 22:00 - Mon 06 04:00",
    ]


def test_christmas_and_new_year_are_closed_from_17_to_17_new_york():
    assert shown(OPEN.week_openings(ms("2024-12-23"), ms("2025-01-03"))) == [
        "Sun 22 22:00 - Tue 24 22:00",
        "Wed 25 22:00 - Fri 27 22:00",
        "Sun 29 22:00 - Tue 31 22:00",
        "Wed 01 22:00 - Fri 03 22:00",
    ]
    assert not OPEN.is_open("EUR_USD", ms("2024-12-25T12:00"))
    assert OPEN.opens_at("EUR_USD", ms("2024-12-24T22:00")) == ms("2024-12-26T08:00")
    assert OPEN.is_open("EUR_USD", ms("2024-12-26T12:00"))


def test_a_start_belongs_to_a_session_and_its_end_does_not():
    opens, closes = ms("2025-06-03T07:00"), ms("2025-06-03T21:00")
    moments = (opens - 1, opens, closes - 1, closes)
    assert [OPEN.is_open("EUR_USD", moment) for moment in moments] == [False, True, True, False]
    assert [OPEN.opens_at("EUR_USD", moment) for moment in moments] == [opens, None, None, ms("2025-06-04T07:00")]
    assert [OPEN.closes_at("EUR_USD", moment) for moment in moments] == [None, closes, closes, None]


def test_the_exit_window_begins_with_its_first_minute_and_ends_with_the_session():
    close = ms("2025-06-03T21:00")
    moments = (close - 5 * MINUTE - 1, close - 5 * MINUTE, close - 1, close)
    assert [OPEN.exit_window("EUR_USD", moment, 5) for moment in moments] == [False, True, True, False]
    assert not OPEN.exit_window("EUR_USD", close - 1, 0)


def test_the_next_boundary_is_the_first_of_any_pair():
    pairs = ("EUR_USD", "USD_JPY")
    seen, moment = [], ms("2025-06-03T00:00")
    while len(seen) < 7:
        moment = OPEN.next_boundary(pairs, moment, 5)
        seen.append(text(moment)[-5:])
    assert seen == ["06:55", "07:00", "12:00", "20:55", "21:00", "23:00", "06:55"]


def test_an_exit_window_longer_than_its_session_begins_with_it():
    short = calendar({"windows": {"London": ["Etc/UTC", "10:00", "10:03"]}}, enabled=True)
    moments = [
        short.next_boundary(["EUR_GBP"], ms("2025-06-03"), 5),
        short.next_boundary(["EUR_GBP"], ms("2025-06-03T10:00"), 5),
    ]
    assert moments == [ms("2025-06-03T10:00"), ms("2025-06-03T10:03")]


def test_without_gating_every_moment_is_open_and_the_week_still_bounds_what_to_expect():
    free = calendar(enabled=False)
    saturday = ms("2025-06-07T12:00")
    assert free.is_open("EUR_USD", saturday)
    assert not free.exit_window("EUR_USD", ms("2025-06-06T20:58"), 5)
    masks = free.masks("EUR_USD", np.array([saturday]), 5)
    assert (masks.open.tolist(), masks.exit.tolist()) == ([True], [False])
    assert free.open_minutes("XAU_USD", ms("2025-06-02"), ms("2025-06-09")) == (4 * 24 + 21 + 3) * 60
    assert free.next_boundary(["XAU_USD"], saturday, 5) == ms("2025-06-08T21:00")
    free.check(["XAU_USD"])


def test_expected_minutes_count_those_that_open_in_the_span():
    opens = ms("2025-06-03T07:00")
    assert OPEN.open_minutes("EUR_USD", opens - 1, opens + 1) == 1
    assert OPEN.open_minutes("EUR_USD", opens + 1, opens + MINUTE) == 0
    assert OPEN.open_minutes("EUR_USD", opens + 1, opens + MINUTE + 1) == 1
    assert OPEN.open_minutes("EUR_USD", opens, opens) == 0


def test_nothing_asked_is_nothing_masked():
    assert [len(mask) for mask in OPEN.masks("EUR_USD", np.empty(0, np.int64), 5)] == [0, 0]


def test_moments_of_a_weekend_are_closed_and_to_be_left():
    masks = OPEN.masks("EUR_USD", np.array([ms("2025-06-07T12:00")]), 5)
    assert (masks.open.tolist(), masks.exit.tolist()) == ([False], [True])


def test_overrides_replace_windows_and_add_currencies():
    changed = calendar(
        {
            "windows": {"London": ["Europe/London", "09:00", "24:00"], "Night": ["Etc/UTC", "22:00", "02:00"]},
            "currencies": {"XAU": "Night"},
        },
        enabled=True,
    )
    changed.check(["XAU_EUR"])
    assert shown(changed.openings("EUR_CHF", ms("2025-01-14"), ms("2025-01-15"))) == ["Tue 14 09:00 - Wed 15 00:00"]
    assert shown(changed.openings("XAU_XAU", ms("2025-01-14T12:00"), ms("2025-01-15"))) == [
        "Tue 14 22:00 - Wed 15 02:00"
    ]
    assert changed.windows["Tokyo"] == WINDOWS["Tokyo"]


def test_a_window_of_the_whole_day_is_open_all_week():
    whole = calendar({"windows": {"London": ["Etc/UTC", "00:00", "24:00"]}}, enabled=True)
    week = OPEN.week_openings(ms("2025-06-02"), ms("2025-06-03"))
    np.testing.assert_array_equal(whole.openings("EUR_GBP", ms("2025-06-02"), ms("2025-06-03")), week)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], "array"),
        ({"window": {}}, "window"),
        ({"windows": {"X": ["Etc/UTC", "08:00"]}}, "length"),
        ({"windows": {"X": ["Nowhere/Town", "08:00", "16:00"]}}, "'Nowhere/Town' is not an IANA time zone"),
        ({"windows": {"X": ["../etc/passwd", "08:00", "16:00"]}}, "is not an IANA time zone"),
        ({"windows": {"X": ["Europe", "08:00", "16:00"]}}, "'Europe' is not an IANA time zone"),
        ({"windows": {"X": ["Etc/UTC", "8:00", "16:00"]}}, "'8:00' is not a time"),
        ({"windows": {"X": ["Etc/UTC", "08:00", "24:01"]}}, "'24:01' is not a time"),
        ({"windows": {"X": ["Etc/UTC", "08:60", "16:00"]}}, "'08:60' is not a time"),
        ({"windows": {"X": ["Etc/UTC", "08:00", "08:00"]}}, "08:00 to 08:00 is no window"),
        ({"windows": {"X": ["Etc/UTC", "24:00", "08:00"]}}, "24:00 to 08:00 is no window"),
        ({"currencies": {"XAU": "Zurich"}}, "'Zurich', which is none of the windows"),
        ({"currencies": {"xau": "London"}}, "'xau' is not a currency"),
        ({"currencies": {"XAU": 1}}, "Expected `str`"),
    ],
)
def test_an_override_that_cannot_be_meant_is_a_settings_error(overrides, words):
    with pytest.raises(SettingsError, match="SESSION_WINDOWS_JSON") as caught:
        calendar(overrides, enabled=True)
    assert words in str(caught.value)


def test_every_fault_of_an_override_is_in_one_message():
    with pytest.raises(SettingsError) as caught:
        calendar({"windows": {"X": ["Nowhere", "1", "2"]}, "currencies": {"XAU": "Y"}}, enabled=True)
    assert all(word in str(caught.value) for word in ("Nowhere", "'1'", "'2'", "'Y'"))


def test_a_currency_without_a_session_is_a_settings_error():
    with pytest.raises(SettingsError, match=r"for MXN, XAU; name one in SESSION_WINDOWS_JSON"):
        OPEN.check(["EUR_USD", "XAU_USD", "EUR_MXN"])
    OPEN.check(PAIRS)
