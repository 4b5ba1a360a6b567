"""Which addresses of a store are taken, what is read from them, and what is said of the others."""

from __future__ import annotations

import re

import pytest

from hotbandd.settings.secret import masked_url, url_passwords
from hotbandd.settings.valkey_url import check, several

SENTINELS = "redis+sentinel://me:pa%40ss@a:1,[::1]:2,c/desk/3?sentinel_username=w&sentinel_password=hush"


def test_a_url_of_sentinels_is_taken_apart() -> None:
    check(SENTINELS)
    found = several(SENTINELS)
    assert found.nodes == (("a", 1), ("::1", 2), ("c", 26379))
    assert (found.master, found.database, found.tls) == ("desk", 3, False)
    assert (found.username, found.password) == ("me", "pa@ss")
    assert found.options == {"sentinel_username": "w", "sentinel_password": "hush"}


def test_a_url_of_a_cluster_is_taken_apart() -> None:
    url = "rediss+cluster://a:1,b/?username=me&password=x&ssl_ca_certs=/ca.pem"
    check(url)
    found = several(url)
    assert (found.layout, found.nodes, found.tls) == ("cluster", (("a", 1), ("b", 6379)), True)
    assert (found.username, found.password, found.options) == ("me", "x", {"ssl_ca_certs": "/ca.pem"})


def test_no_password_of_it_is_shown_and_each_is_known_as_one() -> None:
    assert masked_url(SENTINELS) == "redis+sentinel://***@a:1,[::1]:2,c/desk/3?***"
    assert url_passwords(SENTINELS) == ("pa%40ss", "pa@ss", "hush")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis+sentinel://a:1", "behind the Sentinels belongs the name of the primary"),
        ("redis+sentinel://a:1/desk/x", "behind the Sentinels belongs the name of the primary"),
        ("redis+sentinel://a:1,/desk", "names no server"),
        ("redis+sentinel://a:1,b:port/desk", "it is not a URL"),
        ("redis+sentinel://a/desk?ssl_ca_certs=/x", "behind its ? it may hold"),
        ("redis+sentinel://a/desk?db=1", "behind its ? it may hold"),
        ("redis+cluster://a:1/2", "a cluster has no databases but 0"),
        ("redis+cluster://a:1?sentinel_password=x", "behind its ? it may hold password, username,"),
        ("redis+cluster://", "names no server"),
        ("redis+ring://a", "it has another scheme"),
        ("unix+cluster:///a", "it has another scheme"),
        ("redis://a,b", "write redis+sentinel or redis+cluster"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        check(url)
