"""Deploy: steps run in their order, the first that fails stops the rest, and each is timed and told."""

from __future__ import annotations

from itertools import count

import pytest

from hotbandd.errors import StoreUnreachableError
from hotbandd.operations import deploy
from hotbandd.operations.deploy import Result, Step


def step(name: str, ran: list[str], error: BaseException | None = None, skipped: str | None = None) -> Step:
    async def work() -> str:
        ran.append(name)
        if error is not None:
            raise error
        return f"{name} did it"

    return Step(name, work, skipped)


async def run(*steps: Step) -> tuple[list[Result], list[Result]]:
    told: list[Result] = []
    return await deploy.run(steps, count(0.0, 2.0).__next__, told.append), told


async def test_steps_run_in_their_order_and_are_timed_and_told() -> None:
    ran: list[str] = []
    results, told = await run(step("a", ran), step("b", ran, skipped="B is 0"), step("c", ran))
    assert ran == ["a", "c"]
    assert results == told
    assert results == [
        Result("a", "done", 2.0, "a did it"),
        Result("b", "skipped", 0.0, "B is 0"),
        Result("c", "done", 2.0, "c did it"),
    ]
    assert deploy.succeeded(results)


@pytest.mark.parametrize("wrapped", [False, True])
async def test_the_first_that_fails_stops_the_rest_and_says_why(wrapped: bool) -> None:
    ran: list[str] = []
    error = StoreUnreachableError("Valkey does not answer.")
    fault = ExceptionGroup("tasks", [ExceptionGroup("inner", [error])]) if wrapped else error
    results, _ = await run(step("a", ran), step("b", ran, fault), step("c", ran), step("d", ran, skipped="D is 0"))
    assert ran == ["a", "b"]
    assert [(one.name, one.state) for one in results] == [
        ("a", "done"),
        ("b", "failed"),
        ("c", "not reached"),
        ("d", "not reached"),
    ]
    assert results[1].said == "Valkey does not answer."
    assert not deploy.succeeded(results)


async def test_an_error_that_is_not_ours_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        await run(step("a", [], ZeroDivisionError("0")))
    with pytest.raises(ExceptionGroup):
        await run(step("a", [], ExceptionGroup("tasks", [ZeroDivisionError("0")])))
