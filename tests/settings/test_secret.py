"""Secrets and instruments."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.errors import UsageError
from hotbandd.settings import MASK, Secret, instrument, parse_pairs
from hotbandd.settings.secret import masked_url, url_passwords


def test_a_secret_shows_as_a_mask_however_it_is_written() -> None:
    secret = Secret("hush")
    assert {str(secret), repr(secret), f"{secret}", f"{secret!r}", "%s" % secret} == {MASK}  # noqa: UP031
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)


def test_a_secret_matches_only_itself() -> None:
    secret = Secret("hush")
    assert secret.matches("hush")
    assert not secret.matches("hus")
    assert not secret.matches("hush\udcff")
    assert secret == Secret("hush")
    assert secret != "hush"
    assert len({secret, Secret("hush"), Secret("x")}) == 2


@pytest.mark.parametrize(
    ("url", "masked", "passwords"),
    [
        ("redis://host:6379/0", "redis://host:6379/0", ()),
        ("redis://u:p@host/0", "redis://***@host/0", ("p",)),
        ("rediss://:a%2Fb@[::1]:6380", "rediss://***@[::1]:6380", ("a%2Fb", "a/b")),
        ("unix:///run/s.sock?password=x%20y", "unix:///run/s.sock?***", ("x y",)),
        ("", "", ()),
    ],
)
def test_a_url_is_shown_without_what_it_authenticates_with(url: str, masked: str, passwords: tuple[str, ...]) -> None:
    assert masked_url(url) == masked
    assert url_passwords(url) == passwords


@given(st.from_regex(r"[A-Z0-9]{2,12}_[A-Z0-9]{2,12}", fullmatch=True))
def test_an_instrument_stays_as_it_is(text: str) -> None:
    assert instrument(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "EURUSD", "eur_usd", "E_USD", "EUR_USD\n", " EUR_USD", "EUR_USD_X", "EUR/USD", "ÉUR_USD", "A" * 13 + "_USD"],
)
def test_anything_else_is_no_instrument(text: str) -> None:
    with pytest.raises(UsageError, match="not an instrument"):
        instrument(text)


def test_pairs_keep_their_order() -> None:
    assert parse_pairs("USD_JPY, EUR_USD") == ("USD_JPY", "EUR_USD")
