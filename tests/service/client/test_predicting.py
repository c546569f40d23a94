"""Asking for many files: order, bounds, and what is left when it is stopped."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.client.predicting import PredictorInfo, PredictorStopped, predict_many
from service.client.targets import Target
from service.wire import ModelName, Prediction, PredictResponse

pytestmark = pytest.mark.anyio
MODEL = ModelName(name="m", version="1")


class Slow:
    """Answers after as many steps of the event loop as the image says; b"stop" stops it."""

    about = PredictorInfo(MODEL, "CPU", "balanced")

    def __init__(self) -> None:
        self.inside = self.most = self.asked = 0

    async def ask(self, image: bytes) -> PredictResponse:
        self.asked += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            if image == b"stop":
                await asyncio.sleep(0.5)
                raise PredictorStopped("no use")
            for _ in range(int(image)):
                await asyncio.sleep(0.001)
        finally:
            self.inside -= 1
        entry = Prediction(filename=None, label="NORMAL", probability=0.1, threshold=0.5)
        return PredictResponse(
            model=MODEL, request_id="r", provider="CPU", operating_point="balanced", predictions=[entry]
        )


def files(folder: Path, contents: list[bytes]) -> list[Target]:
    paths = [folder / f"{number:03}" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return [Target(str(path)) for path in paths]


async def run(predictor: Slow, targets: list[Target], at_once: int) -> list[PredictResponse]:
    answers: list[PredictResponse] = []
    with contextlib.suppress(PredictorStopped):
        await predict_many(predictor, targets, answers.append, at_once=at_once, max_bytes=100)
    return answers


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.integers(0, 20), max_size=30), at_once=st.integers(1, 5))
async def test_answers_come_in_order_and_never_more_are_asked_at_once(
    tmp_path: Path, steps: list[int], at_once: int
) -> None:
    predictor = Slow()
    targets = files(tmp_path, [str(number).encode() for number in steps])
    answers = await run(predictor, targets, at_once)
    assert [answer.predictions[0].filename for answer in answers] == [target.name for target in targets]
    assert predictor.most <= at_once


async def test_one_that_is_slow_does_not_fill_the_memory(tmp_path: Path) -> None:
    predictor = Slow()
    targets = files(tmp_path, [b"100000"] + 199 * [b"0"])
    asking = asyncio.create_task(run(predictor, targets, 2))
    while predictor.asked < 8:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert predictor.asked == 8
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert predictor.inside == 0


async def test_what_had_its_answer_when_it_was_stopped_is_emitted(tmp_path: Path) -> None:
    targets = files(tmp_path, [b"0", b"0", b"stop", b"0", b"1", b"100000"])
    answers = await run(Slow(), targets, 4)
    assert [answer.predictions[0].filename for answer in answers] == [targets[number].name for number in (0, 1, 3, 4)]


async def test_what_cannot_be_opened_is_told_in_its_place(tmp_path: Path) -> None:
    targets = files(tmp_path, [b"0", b"", b"0"])
    predictor = Slow()
    answers = await run(predictor, targets, 2)
    errors = [answer.predictions[0].error for answer in answers]
    assert [error and error.type for error in errors] == [None, "/problems/empty-file", None]
    assert predictor.asked == 2
