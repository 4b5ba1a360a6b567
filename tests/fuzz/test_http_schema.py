"""Requests drawn from our own description of the pages: every answer is one that it describes, and none is a failure of ours."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import assume, given
from hypothesis import strategies as st
from schemathesis.checks import (
    positive_data_acceptance,
)  # asks that 5000.0 be taken for a whole number; here it is refused
from schemathesis.schemas import APIOperation as Operation

from tests.fuzz.amount import examples
from tests.fuzz.conftest import TOKEN
from tests.processes import Daemon

STREAMS = ("/api/events",)  # answers that do not end
METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "X"]
PLACES = [
    "/{}",
    "/api/{}",
    "/api/instrument/{}/chart",
    "/api/candles?instrument={}&count=5",
    "/web/{}",
    "/instrument/{}",
]
QUERIES = st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=20), max_size=3)
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def url(daemon: Daemon) -> str:
    return str(daemon.event("daemon.started")["http"])


@pytest.fixture(scope="module")
def operations(url: str) -> list[Operation]:
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    return [found.ok() for found in schema.get_all_operations() if found.ok().path not in STREAMS]


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers=HEADERS) as found:
        yield found


@given(st.data())
@examples(short=100, full=20_000)
def test_every_answer_is_one_that_is_described(operations: list[Operation], data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from(operations))
    case = data.draw(operation.as_strategy())
    response = case.call(headers=data.draw(st.sampled_from([HEADERS, {}])), timeout=20)
    case.validate_response(response, excluded_checks=[positive_data_acceptance])


@given(st.sampled_from(METHODS), st.sampled_from(PLACES), st.text(max_size=30), QUERIES)
@examples(short=60, full=10_000)
def test_any_other_address_is_refused_with_a_sentence(
    client: httpx.Client, method: str, place: str, path: str, query: dict[str, str]
) -> None:
    try:
        request = client.build_request(method, place.format(path), params=query)
    except (httpx.InvalidURL, UnicodeEncodeError):
        return
    assume(request.url.path not in STREAMS)
    response = client.send(request)
    assert response.status_code < 500 or response.status_code == 503, response.text
    assert response.headers["x-content-type-options"] == "nosniff"
