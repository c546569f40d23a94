"""Assesses a model as a whole: a run on its held-out patients, a bundle on any data folder."""

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

VALIDATION_PATIENTS = "validation patients (not trained on)"
TEST_PATIENTS = "held-out patients (used neither for training nor for choosing anything)"
RANDOM_IMAGES = "a random part of the images (too optimistic: other images of the same patients were trained on)"


class Assessment(BaseModel):
    """The figures of a run's model. ``test`` is None if no patient was held out (a random split)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operating_point: OperatingPoint
    validation: Results
    test: Results | None


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The images of a split, with descriptions that say how far figures on them can be trusted.

    Attributes:
        train: images that the network was trained on.
        validation: images that everything else is chosen on.
        held_out: images for measuring only; the validation part if the split holds out no patients.
        chosen_on: describes the validation part.
        measured_on: describes the held-out part.
    """

    train: Dataset
    validation: Dataset
    held_out: Dataset
    chosen_on: str
    measured_on: str

    @classmethod
    def of(cls, data: Dataset, split: Split) -> Self:
        """Divide a dataset into the parts of its split."""
        by_patient = split.strategy == "patient"
        return cls(
            train=data.rows(split.train),
            validation=data.rows(split.validation),
            held_out=data.rows(split.test or split.validation),
            chosen_on=VALIDATION_PATIENTS if by_patient else RANDOM_IMAGES,
            measured_on=TEST_PATIENTS if split.test else RANDOM_IMAGES,
        )


def assess(predict: Predict, data: Dataset, split: Split, point: OperatingPoint | None = None) -> Assessment:
    """Measure validation and test part at one threshold: ``point``'s, or one chosen on the validation part."""
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
    return measure(scores, bundle.manifest.threshold, all_images_of(folder))


def all_images_of(folder: str) -> str:
    """The description for results on all images of a folder of this name."""
    return f"patients: all images of the folder {folder}, trained on or not"


def keras_predict(model: keras.Model) -> Predict:
    """A function that computes the probabilities of a Keras model."""

    def predict(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        probability: NDArray[np.float32] = keras.ops.convert_to_numpy(model(pixels, training=False))[:, 0]
        return probability

    return predict


def graph_predict(graph: bytes) -> Predict:
    """A function that computes the probabilities of an exported graph, with onnxruntime on the CPU."""
    return graph_output(graph, PROBABILITY)


def graph_output(graph: bytes, name: str) -> Predict:
    """A function that computes one output of an exported graph, float32 (n, ...), with onnxruntime on the CPU."""
    options = onnxruntime.SessionOptions()
    # Threads that spin while they wait take half as much CPU time again from what else runs: augmentation, other runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        output: NDArray[np.float32] = session.run([name], {INPUT: pixels})[0]
        return output

    return run
