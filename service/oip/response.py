"""From the readings of a request to the tensors of its response: JSON, or JSON followed by binary tensor data."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from fastapi import Response

from contract.bundle import LABELS
from service.errors import InvalidInference
from service.inference.guard import Guard
from service.inference.points import Point
from service.inference.reader import Reading
from service.oip.request import HEADER_LENGTH, ParsedRequest
from service.oip.views import CLASSIFIER, View
from service.oip.wire import AnswerParameters, BinarySize, Datatype, InferResponse, Output, OutputTensor, TensorMetadata
from service.wire import Prediction, PredictResponse


@dataclass(frozen=True, slots=True)
class _OutputSpec:
    """The datatype of an output, its shape for one image, and the function that computes it for one image."""

    datatype: Datatype
    image_shape: tuple[int, ...]
    value: Callable[[Prediction, Reading], Any]


OUTPUTS: dict[Output, _OutputSpec] = {
    "probability": _OutputSpec("FP32", (), lambda prediction, _: prediction.probability),
    "label": _OutputSpec("BYTES", (), lambda prediction, _: prediction.label),
    "warnings": _OutputSpec(
        "BYTES", (), lambda prediction, _: ", ".join(warning.code for warning in prediction.warnings)
    ),
    "guard_score": _OutputSpec(
        "FP32", (), lambda prediction, _: math.nan if prediction.guard_score is None else prediction.guard_score
    ),
    "heatmap": _OutputSpec("FP32", (-1, -1), lambda _, reading: reading.heatmap),
    "probabilities": _OutputSpec("FP32", (len(LABELS),), lambda prediction, _: _by_class(prediction)),
}


def outputs_of(view: View, guard: Guard) -> list[TensorMetadata]:
    """The outputs of a view of a model with this guard; ``guard_score`` only if the guard is on."""
    return [
        TensorMetadata(name=name, datatype=OUTPUTS[name].datatype, shape=[-1, *OUTPUTS[name].image_shape])
        for name in view.outputs
        if name != "guard_score" or guard.mode != "off"
    ]


def requested_classes(request: ParsedRequest) -> dict[Output, int]:
    """The outputs that are to be classes, and how many each (Triton's classification extension).

    Raises:
        InvalidInference: another output than the probability.
    """
    classes = {each.name: each.parameters.classification for each in request.outputs if each.parameters.classification}
    if set(classes) - {"probability", "probabilities"}:
        raise InvalidInference("outputs: classification is for probability or probabilities alone")
    return {name: count for name, count in classes.items() if count}


def _by_class(prediction: Prediction) -> list[float]:
    """The probability of each class, in the order of ``LABELS``."""
    p = prediction.probability or 0.0
    return [1 - p, p]


def _classes(prediction: Prediction, count: int) -> list[str]:
    """The classes of one image as value, index and label; that of the label first, so that the first of them says the
    same as every other answer, whatever the threshold.
    """
    ranked = sorted(enumerate(_by_class(prediction)), key=lambda each: LABELS[each[0]] != prediction.label)
    return [f"{value:.6f}:{index}:{LABELS[index]}" for index, value in ranked[:count]]


def _warnings(predictions: Sequence[Prediction]) -> str | None:
    """The images with warnings, by number, and the codes."""
    codes = [", ".join(warning.code for warning in each.warnings) for each in predictions]
    return "; ".join(f"{number}: {text}" for number, text in enumerate(codes) if text) or None


def requested_outputs(request: ParsedRequest, guard: Guard) -> dict[Output, bool]:
    """The outputs to send, in order, and whether each is binary. If none is requested: all but the heatmap.

    Raises:
        InvalidInference: the request names an output twice, or one that the model does not have.
    """
    default = request.parameters.binary_data_output
    available = [output.name for output in outputs_of(request.view, guard)]
    if not request.outputs:
        return {name: default for name in request.view.outputs if name in available and name != "heatmap"}
    outputs: dict[Output, bool] = {}
    for output in request.outputs:
        if output.name in outputs or output.name not in available:
            raise InvalidInference(f"outputs: request each at most once, from {', '.join(available)}")
        is_binary = output.parameters.binary_data
        outputs[output.name] = default if is_binary is None else is_binary
    return outputs


def infer_response(
    request: ParsedRequest,
    outputs: dict[Output, bool],
    answer: PredictResponse,
    readings: Sequence[Reading],
    point: Point,
) -> Response:
    """The HTTP response of an inference request.

    Args:
        request: the request.
        outputs: the outputs to send, and whether each is sent as binary data.
        answer: has a prediction for every image.
        readings: the reading of every image, in the same order.
        point: the operating point of the labels.
    """
    tensors, binary, classes = [], b"", requested_classes(request)
    for name, is_binary in outputs.items():
        values = [OUTPUTS[name].value(*each) for each in zip(answer.predictions, readings, strict=True)]
        if name in classes:
            values = [_classes(prediction, classes[name]) for prediction in answer.predictions]
        tensor, data = _tensor(name, values, is_binary=is_binary)
        tensors.append(tensor)
        binary += data
    header = InferResponse(
        model_name=f"{answer.model.name}{request.view.suffix}",
        model_version=answer.model.version,
        id=answer.request_id if request.id is None else request.id,
        parameters=AnswerParameters(
            operating_point=point.name,
            population=point.population,
            site=point.site,
            threshold=point.threshold,
            provider=answer.provider,
            ignored=", ".join(request.parameters.ignored) or None,
            warnings=_warnings(answer.predictions) if request.view is CLASSIFIER else None,
        ),
        outputs=tensors,
    )
    text = header.model_dump_json(exclude_none=True).encode()
    if not any(outputs.values()):
        return Response(text, media_type="application/json")
    return Response(text + binary, media_type="application/octet-stream", headers={HEADER_LENGTH: str(len(text))})


def _tensor(name: Output, values: list[Any], *, is_binary: bool) -> tuple[OutputTensor, bytes]:
    """The tensor of these values, one per image, and its binary data (empty if the values are in the JSON)."""
    datatype, shape = OUTPUTS[name].datatype, [len(values)]
    if values and isinstance(values[0], list) and isinstance(values[0][0], str):  # classes
        datatype, shape = "BYTES", [len(values), len(values[0])]
        values = list(chain.from_iterable(values))
    if datatype == "BYTES":
        flat = values
        data = b"".join(len(text).to_bytes(4, "little") + text for text in map(str.encode, values))
    else:
        array = np.array(values, "<f4")
        shape, flat, data = list(array.shape), array.ravel().tolist(), array.tobytes()
    if is_binary:
        size = BinarySize(binary_data_size=len(data))
        return OutputTensor(name=name, shape=shape, datatype=datatype, parameters=size), data
    return OutputTensor(name=name, shape=shape, datatype=datatype, data=flat), b""
