"""Asking for many files: a few at once, answers in the order of the files, bounded memory. Whoever answers, a server or
the model in this process, is a ``Predictor``.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.client.targets import Target, Unread, read_target
from service.problems import new_problem
from service.wire import ModelName, Prediction, PredictResponse, Problem

# Stands where a server would have given an id.
LOCAL_REQUEST_ID = "command-line"
# Answers wait for those before them. So many times what is asked at once may wait, and one slow file stops nobody.
_AHEAD = 4


class PredictorStopped(Exception):
    """There is no use in asking for any other file; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class PredictorInfo:
    """Who answers, as far as it is known without an answer."""

    model: ModelName
    provider: str
    operating_point: str


class Predictor(Protocol):
    """Reads single images."""

    @property
    def about(self) -> PredictorInfo:
        """Who this is."""

    async def ask(self, image: bytes) -> PredictResponse:
        """The answer, with one prediction; what is wrong with the image is an error in it.

        Raises:
            Stopped: no other image would be answered either.
        """


async def predict_many(
    predictor: Predictor,
    targets: Sequence[Target],
    emit: Callable[[PredictResponse], None],
    *,
    at_once: int,
    max_bytes: int,
) -> None:
    """Ask for every file; ``emit`` gets one answer each, with the file's name, in order.

    Files are opened when their turn comes. If this is stopped or cancelled, what had been answered is emitted first.

    Args:
        predictor: answers single images.
        targets: the files.
        emit: called in the event loop's thread.
        at_once: most files asked for at once, and in memory.
        max_bytes: most bytes of a file.

    Raises:
        Stopped: from the asker.
    """
    seats = asyncio.Semaphore(at_once)

    async def answer(target: Target) -> PredictResponse:
        async with seats:
            return _named(await _ask(predictor, target, max_bytes), target.name)

    waiting: deque[asyncio.Task[PredictResponse]] = deque()
    try:
        for target in targets:
            waiting.append(asyncio.create_task(answer(target)))
            if len(waiting) == _AHEAD * at_once:
                await _emit_first(waiting, emit)
        while waiting:
            await _emit_first(waiting, emit)
    finally:
        for task in waiting:
            task.cancel()
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(outcome, PredictResponse):
                emit(outcome)


def without_answer(about: PredictorInfo, problem: Problem) -> PredictResponse:
    """An answer that holds nothing but a problem."""
    return PredictResponse(
        model=about.model,
        request_id=problem.request_id,
        provider=about.provider,
        operating_point=about.operating_point,
        predictions=[Prediction(filename=None, error=problem)],
    )


async def _emit_first(waiting: deque[asyncio.Task[PredictResponse]], emit: Callable[[PredictResponse], None]) -> None:
    outcome = await waiting[0]
    waiting.popleft()
    emit(outcome)


async def _ask(predictor: Predictor, target: Target, max_bytes: int) -> PredictResponse:
    try:
        image = await asyncio.to_thread(read_target, target, max_bytes)
    except Unread as unread:
        return without_answer(predictor.about, new_problem(unread.kind, str(unread), LOCAL_REQUEST_ID))
    return await predictor.ask(image)


def _named(answer: PredictResponse, name: str) -> PredictResponse:
    entry = answer.predictions[0].model_copy(update={"filename": name})
    return answer.model_copy(update={"predictions": [entry]})
