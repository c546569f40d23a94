"""One part's images to their results: read ahead, decoded, and scored in batches of a fixed size.

Each image has a fixed place in a fixed batch, and blanks replace images that cannot be read. So a probability depends
neither on the other images of the part nor on timing.
"""

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.bundle import Bundle
from contract.cost import Cost, TooExpensive
from contract.errors import ImageRefused, TooManyPixels
from contract.header import is_dicom
from contract.image import SIDE, Decoded
from service.bulk.plan import Plan
from service.bulk.sources.items import Item, ItemReader
from service.client.predicting import LOCAL_REQUEST_ID
from service.client.targets import TargetError
from service.errors import BackendFault, ProcessEnded
from service.http.predictions import prediction_of
from service.inference import dicom
from service.inference.backend import Backend, Outputs
from service.inference.decoding.decoder import too_expensive
from service.inference.guard import choose_guard
from service.inference.points import default_point, point_for_age, rules_of
from service.inference.reader import Reading
from service.problems import new_problem
from service.settings import Settings
from service.wire import Prediction

log = logging.getLogger(__name__)

# Files that are read ahead; a store needs more requests at a time than a disk.
_AHEAD, _AHEAD_STORE = 4, 16


class Content(NamedTuple):
    """The bytes of an item and their SHA-256; or why there are none."""

    data: bytes = b""
    sha256: str | None = None
    error: TargetError | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """The result of one item. ``about``: attributes of a DICOM object."""

    item: Item
    sha256: str | None
    prediction: Prediction
    about: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class _Prepared:
    item: Item
    content: Content
    decoded: Decoded | None
    error: BaseException | None
    about: dict[str, str | None]


class Scorer:
    """Scores the items of a plan.

    Args:
        backend: the model.
        bundle: of the model.
        settings: those of the plan.
        plan: the plan.
    """

    def __init__(self, backend: Backend, bundle: Bundle, settings: Settings, plan: Plan) -> None:
        self._backend, self._manifest, self._plan = backend, bundle.manifest, plan
        self._rules = rules_of(settings, bundle.manifest)
        self._limit = Cost(plan.max_decoded_bytes, float("inf"))
        self._guard = choose_guard(bundle.manifest, plan.guard)
        point = default_point(bundle.manifest, plan.operating_point, plan.population)
        self._point = replace(point, by_age=plan.population is None)
        self._reader = ItemReader(plan.max_body_bytes)
        self._threads = ThreadPoolExecutor(_AHEAD_STORE, thread_name_prefix="read")

    def close(self) -> None:
        """End the threads, and close what is open."""
        self._threads.shutdown(cancel_futures=True)
        self._reader.close()

    def score(self, items: Sequence[Item], left_out: Collection[int], at: Callable[[int], object]) -> Iterator[Scored]:
        """The results of a part, in its order; ``left_out`` and ``at`` as for ``PartWorker.do``.

        Raises:
            StorageError: the storage fails or refuses.
        """
        prepared = self._prepare_all(items, left_out, at)
        while batch := list(islice(prepared, self._plan.batch)):
            yield from self._score_batch(batch)

    def _prepare_all(
        self, items: Sequence[Item], left_out: Collection[int], at: Callable[[int], object]
    ) -> "Iterator[_Prepared]":
        for place, (item, content) in enumerate(zip(items, self._read_ahead(items), strict=True)):
            at(place)
            if place in left_out:
                yield _Prepared(item, content._replace(data=b""), None, ProcessEnded(), {})
            else:
                yield self._prepare(item, content)

    def _read_ahead(self, items: Sequence[Item]) -> Iterator[Content]:
        """The contents of the items in order; at most so many are in memory as files are read ahead."""
        waiting: deque[Future[Content]] = deque()
        rest = iter(items)
        try:
            for item in rest:
                waiting.append(self._threads.submit(self._read, item))
                if len(waiting) > (_AHEAD_STORE if item.uri.startswith("s3://") else _AHEAD):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _read(self, item: Item) -> Content:
        try:
            data = self._reader.read(item)
        except TargetError as error:
            return Content(error=error)
        return Content(data, hashlib.sha256(data).hexdigest())

    def _prepare(self, item: Item, content: Content) -> _Prepared:
        if content.error:
            return _Prepared(item, content, None, content.error, {})
        about = dicom.facts(content.data, ids=self._plan.keep_ids) if is_dicom(content.data) else {}
        kept = content._replace(data=b"")
        try:
            return _Prepared(item, kept, dicom.decode(content.data, self._rules, self._limit), None, about)
        except TooExpensive as error:
            refusal: Exception = too_expensive(error.cost, self._plan.max_decoded_bytes)
        except MemoryError:
            refusal = TooManyPixels("decoding the image takes more memory than there is")
        except ImageRefused as error:
            refusal = error.with_traceback(None)
        except Exception as error:  # a bug: only this image has no result
            refusal = error
        return _Prepared(item, kept, None, refusal, about)

    def _score_batch(self, batch: Sequence[_Prepared]) -> Iterator[Scored]:
        readings = self._readings(batch)
        for prepared, reading in zip(batch, readings, strict=True):
            yield Scored(prepared.item, prepared.content.sha256, self._predict(prepared, reading), prepared.about)

    def _predict(self, prepared: _Prepared, reading: Reading | None) -> Prediction:
        error = prepared.error
        if isinstance(error, TargetError):
            return Prediction(filename=None, error=new_problem(error.kind, str(error), LOCAL_REQUEST_ID))
        if error is not None:
            return self._problem(error)
        if reading is None:
            return self._problem(BackendFault())
        point = point_for_age(self._manifest, self._point, reading.age)
        try:
            flagged = self._guard.apply(reading.guard_score)
        except Exception as refusal:
            return self._problem(refusal)
        return prediction_of(self._guard, point, None, replace(reading, flagged=flagged), LOCAL_REQUEST_ID)

    def _problem(self, error: BaseException) -> Prediction:
        return prediction_of(self._guard, self._point, None, error, LOCAL_REQUEST_ID)

    def _readings(self, batch: Sequence[_Prepared]) -> list[Reading | None]:
        """A reading of each image, or None: there is none, or the model failed on it. A batch on which the model fails
        is tried one by one, each image in its own place among blanks.
        """
        decoded = [prepared.decoded for prepared in batch]
        places = [place for place, image in enumerate(decoded) if image is not None]
        if not places:
            return [None] * len(batch)
        outputs: list[Outputs | None]
        try:
            outputs = [self._run(decoded)] * len(batch)
        except Exception:  # onnxruntime's exceptions have no common base class
            log.exception("the model failed on a batch", extra={"batch_size": len(places)})
            outputs = [self._run_alone(decoded, place) for place in range(len(batch))]
        return [
            _reading(image, found, place) if image is not None and found is not None else None
            for place, (image, found) in enumerate(zip(decoded, outputs, strict=True))
        ]

    def _run_alone(self, decoded: Sequence[Decoded | None], place: int) -> Outputs | None:
        if decoded[place] is None:
            return None
        try:
            return self._run([image if at == place else None for at, image in enumerate(decoded)])
        except Exception:
            log.exception("the model failed on an image")
            return None

    def _run(self, decoded: Sequence[Decoded | None]) -> Outputs:
        size = self._plan.batch
        pixels: NDArray[np.uint8] = np.zeros((size, SIDE, SIDE, 1), np.uint8)
        for place, image in enumerate(decoded):
            if image is not None:
                pixels[place] = image.pixels
        outputs = self._backend.predict(pixels)
        outputs.check(size)
        return outputs


def _reading(image: Decoded, outputs: Outputs, place: int) -> Reading | None:
    """The reading of the image in a place of a batch; None if the model's output is not a probability."""
    probability = float(outputs.probability[place])
    if not 0 <= probability <= 1:
        return None
    score = None if outputs.guard_score is None else float(outputs.guard_score[place])
    facts = partial(Reading, batch_size=len(outputs.probability), decode_s=0.0, queue_s=0.0, inference_s=0.0)
    return facts(
        probability=probability,
        guard_score=score,
        heatmap=None,
        flagged=False,
        turned=image.turned,
        unclear_depth=image.unclear_depth,
        covered_by=None if outputs.covered_by is None else outputs.covered_by[place],
        notes=image.notes,
        age=image.age,
    )
