"""Pauses: how long an object or a result waits before its next attempt, and waiting that can be cut short."""

import asyncio

PAUSE_S = 5.0  # before the second attempt; it doubles with each one
# The longest pause between two attempts. What is due later was noted before the clock was set back.
LONGEST_PAUSE_S = 600.0


def pause_after(tries: int) -> float:
    """Seconds before the next attempt.

    Args:
        tries: failed attempts before the last one, 0 or more.
    """
    return min(PAUSE_S * 2.0 ** min(tries, 16), LONGEST_PAUSE_S)


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event is set, for so many seconds at most."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
