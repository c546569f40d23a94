"""Runs the labelled images through the service's own prediction, and keeps of each only what the figures need."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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


@dataclass(slots=True)
class Run:
    """What a run over all images found.

    ``digests``: SHA-256 of the files that were read, in hexadecimal. ``whose``: by which population's calibration and
    operating points each was answered, by its digest; DICOM objects that state an age may be of several.
    """

    answers: list[tuple[Labelled, float, bool]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    whose: dict[str, str | None] = field(default_factory=dict)
    populations: list[str | None] = field(default_factory=list)
    provider: str = ""
    graph: str = ""
    population: str | None = None
    guarded: bool = False

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted digests of the files."""
        return hashlib.sha256("".join(sorted(self.digests)).encode()).hexdigest()

    def parts(self) -> dict[str | None, "Run"]:
        """The run of each population's images alone; all of them name the failures, whose population is not known."""
        names = sorted(set(self.populations), key=lambda name: (name is None, name))
        found = {name: replace(self, population=name) for name in names}
        for name, run in found.items():
            run.answers = [one for one, whose in zip(self.answers, self.populations, strict=True) if whose == name]
            run.digests = [digest for digest in self.digests if self.whose[digest] == name]
        return found

    def scored(self) -> Scored:
        """The predictions as arrays."""
        _, patient = np.unique([row.patient for row, _, _ in self.answers], return_inverse=True)
        return Scored(
            probability=np.array([probability for _, probability, _ in self.answers], np.float64),
            pneumonia=np.array([row.pneumonia for row, _, _ in self.answers], np.bool_),
            patient=patient.astype(np.intp),
            flagged=np.array([flagged for *_, flagged in self.answers], np.bool_),
            labelled=tuple(row for row, _, _ in self.answers),
        )


async def score_all(
    opening: AbstractAsyncContextManager[Predictor],
    folder: Path,
    labels: Labels,
    advance: Callable[[], None],
    limits: tuple[int, int],
) -> Run:
    """Predict every image of ``labels``, in its order and in bounded memory. A bad image becomes a failure.

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
        digesting = _Digesting(predictor, run)
        await predict_many(digesting, targets, emit, concurrency=concurrency, max_bytes=max_bytes)
    return run


def not_labelled(folder: Path, labels: Labels) -> int:
    """The number of image files in the folder that the labels do not name."""
    named = {str(folder / row.file) for row in labels.rows}
    return sum(target.error is None and target.path not in named for target in find_targets([folder]))


class _Digesting:
    """A predictor that also records the digest of every image that got a prediction."""

    def __init__(self, predictor: Predictor, run: Run) -> None:
        self._predictor, self._run = predictor, run
        self.info = predictor.info

    async def predict(self, image: bytes) -> PredictResponse:
        answer = await self._predictor.predict(image)
        if answer.predictions[0].error is None:
            digest = hashlib.sha256(image).hexdigest()
            self._run.digests.append(digest)
            self._run.whose[digest] = answer.population
        return answer


def _keep(run: Run, row: Labelled, answer: PredictResponse) -> None:
    entry = answer.predictions[0]
    if entry.error is not None or entry.probability is None:
        problem = entry.error.type.rpartition("/")[2] if entry.error else "model-fault"
        run.failures.append(Failure(file=row.file, problem=problem, detail=entry.error.detail if entry.error else ""))
        return
    run.provider, run.population = answer.provider, answer.population
    run.guarded = run.guarded or entry.guard_score is not None
    flagged = any(warning.code == FLAGGED for warning in entry.warnings)
    run.answers.append((row, entry.probability, flagged))
    run.populations.append(answer.population)


def groups_of(scored: Scored, columns: Sequence[str]) -> dict[str, dict[str, Scored]]:
    """The rows of each group, by column and by value."""
    found: dict[str, dict[str, Scored]] = {}
    for number, column in enumerate(columns):
        values = np.array([row.groups[number] for row in scored.labelled])
        found[column] = {str(value): scored.rows(values == value) for value in np.unique(values)}
    return found
