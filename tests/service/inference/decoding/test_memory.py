"""Memory is reserved in the order of arrival, never more than there is, and always given back."""

import asyncio

import pytest

from service.inference.decoding.memory import MemoryBudget

pytestmark = pytest.mark.anyio


async def held(budget: MemoryBudget, count: int, order: list[int], until: asyncio.Event) -> None:
    async with budget.reserve(count):
        assert budget.reserved <= budget.total
        order.append(count)
        await until.wait()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_finds_too_little_waits_in_order() -> None:
    budget, order, until = MemoryBudget(10), [], asyncio.Event()  # type: ignore[var-annotated]
    tasks = [asyncio.create_task(held(budget, count, order, until)) for count in (6, 5, 1)]
    await turns()
    assert order == [6]  # the 1 would fit, but the 5 was first
    until.set()
    await asyncio.gather(*tasks)
    assert order == [6, 5, 1]
    assert budget.reserved == 0


async def test_who_gives_up_lets_the_next_one_in() -> None:
    budget, order, until = MemoryBudget(10), [], asyncio.Event()  # type: ignore[var-annotated]
    first, second, third = (asyncio.create_task(held(budget, count, order, until)) for count in (6, 8, 3))
    await turns()
    second.cancel()
    await turns()
    assert order == [6, 3]
    until.set()
    await asyncio.gather(first, third)
    assert budget.reserved == 0


async def test_who_is_cancelled_at_its_turn_gives_back() -> None:
    budget = MemoryBudget(10)
    await budget.take(10)
    waiting = asyncio.create_task(budget.take(4))
    await turns()
    budget.give_back(10)  # its turn has come, but it has not run yet
    waiting.cancel()
    await asyncio.wait([waiting])
    assert budget.reserved == 0


async def test_many_who_give_up_at_once_take_nothing_along() -> None:
    budget, order, until = MemoryBudget(10), [], asyncio.Event()  # type: ignore[var-annotated]
    tasks = [asyncio.create_task(held(budget, count, order, until)) for count in (6, 5, 5, 4)]
    await turns()
    for task in tasks[:3]:
        task.cancel()
    await turns()
    assert order == [6, 4]
    until.set()
    await asyncio.wait(tasks)
    assert budget.reserved == 0


async def test_nobody_takes_what_another_one_waits_for() -> None:
    budget = MemoryBudget(10)
    assert budget.take_now(6)
    waiting = asyncio.create_task(budget.take(5))
    await turns()
    assert not budget.take_now(1)
    budget.give_back(6)
    await waiting
    assert budget.reserved == 5
    assert not budget.take_now(6)
    assert budget.take_now(5)
