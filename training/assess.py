"""Measuring a model as a whole: a run on the patients it held out, a bundle on any data folder."""

import keras
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from contract.bundle import INPUT, PROBABILITY, Bundle, OperatingPoint
from training.dataset import Dataset
from training.evaluate import Predict, Results, choose_operating_point, measure, score
from training.split import Split

VALIDATION_PATIENTS = "validation patients (none of their images trained)"
TEST_PATIENTS = "held-out patients (none of their images trained or chose anything)"
RANDOM_IMAGES = "a random part of the images (other images of the same patients were trained on: flattering)"


class Assessment(BaseModel):
    """What a run's model does. ``test`` is None where no patient was held out (a random split)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operating_point: OperatingPoint
    validation: Results
    test: Results | None


def assess(predict: Predict, data: Dataset, split: Split) -> Assessment:
    """Choose the threshold on the validation part, measure both parts with it."""
    chosen_on = VALIDATION_PATIENTS if split.strategy == "patient" else RANDOM_IMAGES
    validation = score(predict, data.rows(split.validation))
    point = choose_operating_point(validation, chosen_on)
    return Assessment(
        operating_point=point,
        validation=measure(validation, point.threshold, chosen_on),
        test=measure(score(predict, data.rows(split.test)), point.threshold, TEST_PATIENTS) if split.test else None,
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
        return np.asarray(model(pixels, training=False))[:, 0]

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
