"""Predictions for many files: concurrent, in the order of the files, in bounded memory. The ``Predictor`` is a remote
service or the model in this process.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.client.targets import Target, TargetError, read_target
from service.problems import new_problem
from service.wire import ModelName, Prediction, PredictResponse, Problem

# The request id of answers that do not come from a server.
LOCAL_REQUEST_ID = "command-line"
# Answers are emitted in order, so that they may have to wait for an earlier one. This times ``concurrency`` files may
# be pending, so that one slow file does not stall the others.
_PENDING_FACTOR = 4


class PredictorStopped(Exception):
    """No further file can be predicted; the message is one line with the reason."""


@dataclass(frozen=True, slots=True)
class PredictorInfo:
    """A predictor's model, execution provider and operating point, for answers that hold only a problem.

    ``graph``: the ONNX file of the bundle that is in use; None: not known, with a remote service.
    """

    model: ModelName
    provider: str
    operating_point: str
    graph: str | None = None


class Predictor(Protocol):
    """Analyses single images."""

    @property
    def info(self) -> PredictorInfo:
        """Its model, execution provider and operating point."""

    async def predict(self, image: bytes) -> PredictResponse:
        """Analyse one image file. The answer has one prediction; if the image is at fault, it holds the error.

        Raises:
            PredictorStopped: no other image could be analysed either.
        """


async def predict_many(
    predictor: Predictor,
    targets: Sequence[Target],
    emit: Callable[[PredictResponse], None],
    *,
    concurrency: int,
    max_bytes: int,
) -> None:
    """Predict every file; ``emit`` receives one answer per file, with the file's name, in the order of the files.

    A file is opened when its turn comes. If this is stopped or cancelled, completed answers are emitted first.

    Args:
        predictor: analyses single images.
        targets: the files.
        emit: called in the thread of the event loop.
        concurrency: most files in flight, and in memory.
        max_bytes: largest accepted file.

    Raises:
        PredictorStopped: raised by the predictor.
    """
    slots = asyncio.Semaphore(concurrency)

    async def answer(target: Target) -> PredictResponse:
        async with slots:
            return _with_file_name(await _predict_target(predictor, target, max_bytes), target.name)

    pending: deque[asyncio.Task[PredictResponse]] = deque()
    try:
        for target in targets:
            pending.append(asyncio.create_task(answer(target)))
            if len(pending) == _PENDING_FACTOR * concurrency:
                await _emit_first(pending, emit)
        while pending:
            await _emit_first(pending, emit)
    finally:
        for task in pending:
            task.cancel()
        for result in await asyncio.gather(*pending, return_exceptions=True):
            if isinstance(result, PredictResponse):
                emit(result)


def problem_answer(info: PredictorInfo, problem: Problem) -> PredictResponse:
    """An answer whose only prediction is this problem."""
    return PredictResponse(
        model=info.model,
        request_id=problem.request_id,
        provider=info.provider,
        operating_point=info.operating_point,
        predictions=[Prediction(filename=None, error=problem)],
    )


async def _emit_first(pending: deque[asyncio.Task[PredictResponse]], emit: Callable[[PredictResponse], None]) -> None:
    answer = await pending[0]
    pending.popleft()
    emit(answer)


async def _predict_target(predictor: Predictor, target: Target, max_bytes: int) -> PredictResponse:
    try:
        image = await asyncio.to_thread(read_target, target, max_bytes)
    except TargetError as error:
        return problem_answer(predictor.info, new_problem(error.kind, str(error), LOCAL_REQUEST_ID))
    return await predictor.predict(image)


def _with_file_name(answer: PredictResponse, name: str) -> PredictResponse:
    entry = answer.predictions[0].model_copy(update={"filename": name})
    return answer.model_copy(update={"predictions": [entry]})
