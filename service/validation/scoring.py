"""Runs the labelled images through the service's own prediction, and keeps of each only what the figures need."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.formats.age import by_age
from service.client.predicting import Predictor, predict_many
from service.client.targets import Target, find_targets
from service.validation.labels import Labelled, Labels
from service.validation.schema import Failure
from service.wire import PredictResponse

# The code of the input guard's warning.
FLAGGED = "unlike_training_data"


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The predictions of n images, row by row.

    ``probability``: float64 (n,), 0..1. ``pneumonia``: the truth, bool (n,). ``patient``: a number for each patient,
    (n,). ``flagged``: by the input guard, bool (n,). ``labelled``: the row of ``labels.csv`` of each.
    """

    probability: NDArray[np.float64]
    pneumonia: NDArray[np.bool_]
    patient: NDArray[np.intp]
    flagged: NDArray[np.bool_]
    labelled: tuple[Labelled, ...]

    def rows(self, at: NDArray[np.bool_]) -> "Scored":
        """The rows where ``at`` is true, bool (n,)."""
        labelled = tuple(row for row, kept in zip(self.labelled, at, strict=True) if kept)
        return Scored(self.probability[at], self.pneumonia[at], self.patient[at], self.flagged[at], labelled)


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer for one image.

    ``flagged``: by the input guard. ``digest``: SHA-256 of the file, in hexadecimal. ``population``: by whose
    calibration and operating points it was answered; DICOM objects that state an age may be of several.
    """

    labelled: Labelled
    probability: float
    flagged: bool
    digest: str
    population: str | None = None


@dataclass(slots=True)
class Run:
    """What a run over all images found.

    ``repeated`` and ``contradictory`` are answers that are in no figure, see ``count_once``.
    """

    answers: list[Answered] = field(default_factory=list)
    repeated: list[Answered] = field(default_factory=list)
    contradictory: list[Answered] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    provider: str = ""
    graph: str = ""
    population: str | None = None
    guarded: bool = False

    @property
    def images(self) -> int:
        """The number of images that were labelled."""
        return len(self.answers) + len(self.repeated) + len(self.contradictory) + len(self.failures)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted digests of the files that got an answer."""
        digests = sorted(each.digest for each in (*self.answers, *self.repeated, *self.contradictory))
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def count_once(self) -> None:
        """Leave out of ``answers`` what would be wrong in the figures, where files are the same, byte for byte.

        Of several with one label the first counts, and their patients count as one. Of files with both labels none
        counts, since nobody knows which label is true.
        """
        same: dict[str, list[Answered]] = {}
        for each in self.answers:
            same.setdefault(each.digest, []).append(each)
        agreeing: list[list[Answered]] = []
        for group in same.values():
            if len({each.labelled.pneumonia for each in group}) == 1:
                agreeing.append(group)
            else:
                self.contradictory += group
        patients = _Joined()
        for group in agreeing:
            patients.join([each.labelled.patient for each in group])
        self.repeated = [each for group in agreeing for each in group[1:]]
        self.answers = [
            replace(first, labelled=replace(first.labelled, patient=patients.first(first.labelled.patient)))
            for first, *_ in agreeing
        ]

    def parts(self) -> dict[str | None, "Run"]:
        """The run of each population's images alone; all of them name the failures, whose population is not known."""
        names = {each.population for each in self.answers}
        return {name: self._part(name) for name in sorted(names, key=lambda name: (name is None, name))}

    def _part(self, name: str | None) -> "Run":
        def of_it(answers: list[Answered]) -> list[Answered]:
            return [each for each in answers if each.population == name]

        return replace(
            self,
            population=name,
            answers=of_it(self.answers),
            repeated=of_it(self.repeated),
            contradictory=of_it(self.contradictory),
        )

    def scored(self) -> Scored:
        """The predictions as arrays."""
        _, patient = np.unique([each.labelled.patient for each in self.answers], return_inverse=True)
        return Scored(
            probability=np.array([each.probability for each in self.answers], np.float64),
            pneumonia=np.array([each.labelled.pneumonia for each in self.answers], np.bool_),
            patient=patient.astype(np.intp),
            flagged=np.array([each.flagged for each in self.answers], np.bool_),
            labelled=tuple(each.labelled for each in self.answers),
        )


class _Joined:
    """Names that stand for one: each leads to an earlier one, or is the first."""

    def __init__(self) -> None:
        self._earlier: dict[str, str] = {}

    def first(self, name: str) -> str:
        while name in self._earlier:
            name = self._earlier[name]
        return name

    def join(self, names: Sequence[str]) -> None:
        first, *others = (self.first(name) for name in names)
        self._earlier |= {other: first for other in others if other != first}


async def score_all(
    opening: AbstractAsyncContextManager[Predictor],
    folder: Path,
    labels: Labels,
    advance: Callable[[], None],
    limits: tuple[int, int],
) -> Run:
    """Predict every image of ``labels``, in its order and in bounded memory. A bad image becomes a failure, and files
    that are the same are counted once.

    Args:
        opening: opens the predictor.
        folder: that the files of the labels are below.
        labels: from ``read_labels``.
        advance: is called after each image.
        limits: images in flight, and bytes of the largest accepted file.
    """
    run, rows = Run(), iter(labels.rows)

    def emit(answer: PredictResponse) -> None:
        _keep(run, next(rows), answer)
        advance()

    targets = [Target(str(folder / row.file)) for row in labels.rows]
    async with opening as predictor:
        concurrency, max_bytes = limits
        run.graph = predictor.info.graph or ""
        await predict_many(_Digesting(predictor), targets, emit, concurrency=concurrency, max_bytes=max_bytes)
    run.count_once()
    return run


def not_labelled(folder: Path, labels: Labels) -> int:
    """The number of image files in the folder that the labels do not name."""
    named = {str(folder / row.file) for row in labels.rows}
    return sum(target.error is None and target.path not in named for target in find_targets([folder]))


class _Digesting:
    """A predictor whose answers have the digest of the image for an id of the request."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.info = predictor.info

    async def predict(self, image: bytes) -> PredictResponse:
        answer = await self._predictor.predict(image)
        return answer.model_copy(update={"request_id": hashlib.sha256(image).hexdigest()})


def _keep(run: Run, row: Labelled, answer: PredictResponse) -> None:
    entry = answer.predictions[0]
    if entry.error is not None or entry.probability is None:
        problem = entry.error.type.rpartition("/")[2] if entry.error else "model-fault"
        run.failures.append(Failure(file=row.file, problem=problem, detail=entry.error.detail if entry.error else ""))
        return
    run.provider, run.population = answer.provider, answer.population
    run.guarded = run.guarded or entry.guard_score is not None
    flagged = any(warning.code == FLAGGED for warning in entry.warnings)
    run.answers.append(Answered(row, entry.probability, flagged, answer.request_id, answer.population))


def groups_of(scored: Scored, columns: Sequence[str]) -> dict[str, dict[str, Scored]]:
    """The rows of each group, by column and by value."""
    found: dict[str, dict[str, Scored]] = {}
    for number, column in enumerate(columns):
        values = np.array([row.groups[number] for row in scored.labelled])
        found[column] = {value: scored.rows(values == value) for value in sorted({*values.tolist()}, key=by_age)}
    return found
