"""Measuring a model as a whole: a run on the patients it held out, a bundle on any data folder."""

from dataclasses import dataclass
from typing import Self

import keras
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from contract.bundle import INPUT, PROBABILITY, Bundle, OperatingPoint
from training.data.dataset import Dataset
from training.data.split import Split
from training.evaluation.evaluate import Predict, Results, choose_operating_point, measure, score

VALIDATION_PATIENTS = "validation patients (none of their images trained)"
TEST_PATIENTS = "held-out patients (none of their images trained or chose anything)"
RANDOM_IMAGES = "a random part of the images (other images of the same patients were trained on: flattering)"


class Assessment(BaseModel):
    """What a run's model does. ``test`` is None where no patient was held out (a random split)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operating_point: OperatingPoint
    validation: Results
    test: Results | None


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The images of a split, and in words what may be said of figures from them.

    Attributes:
        train: what the network was trained on.
        validation: what everything else is chosen on.
        held_out: what is only measured on; the validation part again where nothing was held out from it.
        chosen_on: what the validation part is.
        measured_on: what the held-out part is.
    """

    train: Dataset
    validation: Dataset
    held_out: Dataset
    chosen_on: str
    measured_on: str

    @classmethod
    def of(cls, data: Dataset, split: Split) -> Self:
        """The parts of a dataset that was split so."""
        by_patient = split.strategy == "patient"
        return cls(
            train=data.rows(split.train),
            validation=data.rows(split.validation),
            held_out=data.rows(split.test or split.validation),
            chosen_on=VALIDATION_PATIENTS if by_patient else RANDOM_IMAGES,
            measured_on=TEST_PATIENTS if split.test else RANDOM_IMAGES,
        )


def assess(predict: Predict, data: Dataset, split: Split, point: OperatingPoint | None = None) -> Assessment:
    """Measure the validation and the test part with one threshold: this one, or one chosen on the former."""
    parts = Parts.of(data, split)
    validation = score(predict, parts.validation)
    point = point or choose_operating_point(validation, parts.chosen_on)
    return Assessment(
        operating_point=point,
        validation=measure(validation, point.threshold, parts.chosen_on),
        test=measure(score(predict, parts.held_out), point.threshold, parts.measured_on) if split.test else None,
    )


def assess_bundle(bundle: Bundle, data: Dataset, folder: str) -> Results:
    """Measure a bundle at its own threshold on all images of a data folder."""
    scores = score(graph_predict(bundle.graph), data)
    return measure(scores, bundle.manifest.threshold, everyone(folder))


def everyone(folder: str) -> str:
    """Says that all images of a folder of this name are measured."""
    return f"patients: all images of the folder {folder}, trained on or not"


def keras_predict(model: keras.Model) -> Predict:
    """The probabilities of a Keras model."""

    def predict(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        probability: NDArray[np.float32] = keras.ops.convert_to_numpy(model(pixels, training=False))[:, 0]
        return probability

    return predict


def graph_predict(graph: bytes) -> Predict:
    """The probabilities of an exported graph, from onnxruntime on the CPU."""
    return graph_output(graph, PROBABILITY)


def graph_output(graph: bytes, name: str) -> Predict:
    """One output of an exported graph, float32 (n, ...), from onnxruntime on the CPU."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        output: NDArray[np.float32] = session.run([name], {INPUT: pixels})[0]
        return output

    return run
