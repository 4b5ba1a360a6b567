"""Messages over apprise to a real receiver: one that is well, and ones that are not."""

from __future__ import annotations

import io
import logging
import time

import pytest
import structlog

from hotbandd.adapters.log import configure
from hotbandd.adapters.notifications import ATTEMPTS, AppriseNotices
from hotbandd.errors import SettingsError
from hotbandd.settings import Secret, load
from tests.receiver import receiver
from tests.valkey import eventually

# One of apprise's services, none of ours, still imports it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

TITLE, BODY = "hotband: 2 changes", "EUR_USD opened.\nUSD_JPY closed: its session is closed."


def notices(*urls: str, attempt_sec: float = 10.0) -> AppriseNotices:
    return AppriseNotices([Secret(url) for url in urls], attempt_sec=attempt_sec, pause_sec=0.02)


async def test_a_message_arrives_as_it_was_sent():
    with receiver() as told:
        assert await notices(told.url).send(TITLE, BODY) == [("1 (JSON)", None)]
    assert [(message["title"], message["message"]) for message in told.received] == [(TITLE, BODY)]


async def test_receivers_that_are_away_or_ill_do_not_keep_the_others_from_hearing():
    with receiver() as well, receiver() as ill, receiver() as gone:
        ill.mood, away = "500", gone.url
    with receiver() as well, receiver() as ill:
        ill.mood = "500"
        done = await notices(away, ill.url, well.url).send(TITLE, BODY)
        assert [(delivery.receiver, delivery.fault) for delivery in done] == [
            ("1 (JSON)", "it does not answer as it should"),
            ("2 (JSON)", "it answers with status 500"),
            ("3 (JSON)", None),
        ]
        assert well.bodies == [BODY]
        assert ill.requests == ATTEMPTS


@pytest.mark.parametrize("mood", ["garbage", "close"])
async def test_a_receiver_that_talks_nonsense_is_a_fault_and_no_crash(mood):
    with receiver() as told:
        told.mood = mood
        (delivery,) = await notices(told.url).send(TITLE, BODY)
        assert delivery.fault == "it does not answer as it should"
        told.mood = "well"
        assert (await notices(told.url).send(TITLE, BODY))[0].fault is None


async def test_a_receiver_that_takes_its_time_is_given_up_and_gets_no_second_message_meanwhile():
    with receiver() as slow, receiver() as well:
        slow.mood = "slow"
        both = notices(slow.url, well.url, attempt_sec=0.3)
        began = time.monotonic()
        first = await both.send(TITLE, BODY)
        assert time.monotonic() - began < 5
        assert first[0].fault == "it does not take the message within 0.3 s"
        assert first[1].fault is None
        second = await both.send(TITLE, BODY)
        assert second[0].fault == "it still hangs over an earlier message"
        assert slow.requests == 1
        slow.released.set()
        slow.mood = "well"

        async def served() -> bool:
            return (await both.send(TITLE, BODY))[0].fault is None

        await eventually(served, 20)


async def test_no_address_is_logged_whatever_goes_wrong():
    out = io.StringIO()
    root = logging.getLogger()
    before, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    try:
        with receiver() as told:
            settings = load({"HOTBAND_NOTIFY_URLS": told.url}, None).settings
            configure("debug", "json", interactive=False, stream=out, secrets=settings.secrets())
            told.mood = "500"
            done = await AppriseNotices(settings.notify_urls or (), pause_sec=0.02).send(TITLE, BODY)
            structlog.get_logger().warning("whole", url=told.url)
            structlog.get_logger().warning("part", path="/hook/s3cret-t0ken-abcdef")
    finally:
        root.handlers, root.level, logging.raiseExceptions = before, level, raising
        structlog.reset_defaults()
    assert "whole" in out.getvalue()
    assert "s3cret" not in out.getvalue() + str(done) + repr(settings) + str(settings.shown())


def test_an_address_that_apprise_does_not_know_is_refused_without_being_shown():
    with pytest.raises(SettingsError, match="does not know what receiver 2 is") as refused:
        notices("json://127.0.0.1:1/", "carrierpigeon://s3cret-t0ken-abcdef/")
    assert "s3cret" not in str(refused.value)
