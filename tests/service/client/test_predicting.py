"""Predictions for many files: their order, the limits, and the results that remain after an interruption."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.client.predicting import PredictorInfo, PredictorStopped, predict_many
from service.client.targets import Target
from service.wire import ModelName, Prediction, PredictResponse
from tests.waiting import never, until_async

pytestmark = pytest.mark.anyio
MODEL = ModelName(name="m", version="1")


class SlowPredictor:
    """Answers after as many steps of the event loop as the image says, or never; for b"stop" it raises
    ``PredictorStopped``, once four images have had their answer.
    """

    info = PredictorInfo(MODEL, "CPU", "balanced")

    def __init__(self) -> None:
        self.in_flight = self.most_in_flight = self.calls = self.answered = 0

    async def predict(self, image: bytes) -> PredictResponse:
        self.calls += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if image == b"never":
                await never()
            if image == b"stop":
                await until_async(lambda: self.answered == 4)
                raise PredictorStopped("unreachable")
            for _ in range(int(image)):
                await asyncio.sleep(0)
        finally:
            self.in_flight -= 1
        self.answered += 1
        entry = Prediction(filename=None, label="NORMAL", probability=0.1, threshold=0.5)
        return PredictResponse(
            model=MODEL, request_id="r", provider="CPU", operating_point="balanced", predictions=[entry]
        )


def files(folder: Path, contents: list[bytes]) -> list[Target]:
    paths = [folder / f"{number:03}" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return [Target(str(path)) for path in paths]


async def run(predictor: SlowPredictor, targets: list[Target], concurrency: int) -> list[PredictResponse]:
    answers: list[PredictResponse] = []
    with contextlib.suppress(PredictorStopped):
        await predict_many(predictor, targets, answers.append, concurrency=concurrency, max_bytes=100)
    return answers


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.integers(0, 20), max_size=30), concurrency=st.integers(1, 5))
async def test_answers_come_in_order_and_concurrency_is_limited(
    tmp_path: Path, steps: list[int], concurrency: int
) -> None:
    predictor = SlowPredictor()
    targets = files(tmp_path, [str(number).encode() for number in steps])
    answers = await run(predictor, targets, concurrency)
    assert [answer.predictions[0].filename for answer in answers] == [target.name for target in targets]
    assert predictor.most_in_flight <= concurrency


async def test_a_slow_image_does_not_fill_the_memory(tmp_path: Path) -> None:
    predictor = SlowPredictor()
    targets = files(tmp_path, [b"never"] + 199 * [b"0"])
    running = asyncio.create_task(run(predictor, targets, 2))
    await until_async(lambda: predictor.answered == 7)
    for _ in range(100):  # as files are read: one more would have been by then
        await asyncio.to_thread(Path(targets[0].name).read_bytes)
    assert predictor.calls == 8
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert predictor.in_flight == 0


async def test_completed_answers_are_emitted_after_a_stop(tmp_path: Path) -> None:
    targets = files(tmp_path, [b"0", b"0", b"stop", b"0", b"1", b"never"])
    answers = await run(SlowPredictor(), targets, 4)
    assert [answer.predictions[0].filename for answer in answers] == [targets[number].name for number in (0, 1, 3, 4)]


async def test_an_unreadable_file_is_reported_in_its_place(tmp_path: Path) -> None:
    targets = files(tmp_path, [b"0", b"", b"0"])
    predictor = SlowPredictor()
    answers = await run(predictor, targets, 2)
    errors = [answer.predictions[0].error for answer in answers]
    assert [error and error.type for error in errors] == [None, "/problems/empty-file", None]
    assert predictor.calls == 2
