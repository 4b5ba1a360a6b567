"""Receivers of messages: several of them in one setting, and never shown."""

from __future__ import annotations

import pytest

from hotbandd.core.changes import Kind
from hotbandd.errors import SettingsError
from hotbandd.settings import load
from hotbandd.settings.secret import url_tokens
from hotbandd.settings.table import NOTIFY_ON

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
JSON = "json://user:pa55word@localhost:8080/hook?to=a,b"


def receivers(text: str) -> list[str]:
    return [url.reveal() for url in load({"HOTBAND_NOTIFY_URLS": text}, None).settings.notify_urls or ()]


@pytest.mark.parametrize("between", [" ", ", ", ",", "\n", "  \t"])
def test_addresses_stand_side_by_side_and_may_hold_commas(between):
    assert receivers(SLACK + between + JSON) == [SLACK, JSON]


def test_none_is_nobody():
    settings = load({}, None).settings
    assert settings.notify_urls is None
    assert settings.notify_every_sec == 60
    assert settings.notify_on == {"gates", "kill_switch", "holding", "health", "leader"}


@pytest.mark.parametrize("text", ["T1JJ3T3L2-secret", f"{SLACK} T1JJ3T3L2-secret", "://T1JJ3T3L2-secret", "http://"])
def test_what_is_no_address_is_refused_and_not_repeated(text):
    with pytest.raises(SettingsError, match="HOTBAND_NOTIFY_URLS") as refused:
        receivers(text)
    assert "T1JJ3T3L2" not in str(refused.value)


def test_an_unknown_change_is_refused_by_its_name():
    with pytest.raises(SettingsError, match="'weights' is not"):
        load({"HOTBAND_NOTIFY_ON": "gates, weights"}, None)


def test_every_kind_of_change_can_be_chosen():
    assert list(NOTIFY_ON) == [kind.value for kind in Kind]


def test_nothing_of_an_address_is_shown():
    settings = load({"HOTBAND_NOTIFY_URLS": f"{SLACK} {JSON}"}, None).settings
    assert settings.shown()["HOTBAND_NOTIFY_URLS"] == "*** ***"
    assert {SLACK, "TIiajkdnlazkcOXrIdevi7FQ", "T1JJ3T3L2", "pa55word"} <= set(settings.secrets())
    assert "localhost" not in settings.secrets()
    assert "TIia" not in repr(settings)


def test_tokens_are_found_wherever_they_stand():
    assert "t0ken%20abc" not in url_tokens("json://h/x?token=t0ken%20abc")[2:]
    assert "t0ken abc" in url_tokens("json://h/x?token=t0ken%20abc")
