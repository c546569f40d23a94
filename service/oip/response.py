"""From the readings of a request to the tensors of its answer: JSON, or JSON with binary tensors behind it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import Response

from service.errors import InvalidInference
from service.inference.guard import Guard
from service.inference.points import Point
from service.inference.reader import Reading
from service.oip.request import HEADER_LENGTH, Asked
from service.oip.wire import (
    AnswerParameters,
    BinarySize,
    Datatype,
    InferResponse,
    Output,
    OutputTensor,
    TensorMetadata,
)
from service.wire import Prediction, PredictResponse


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an output is: of which type and shape for one image, and how it is had of its prediction and reading."""

    datatype: Datatype
    one: tuple[int, ...]
    value: Callable[[Prediction, Reading], Any]


OUTPUTS: dict[Output, _Kind] = {
    "probability": _Kind("FP32", (), lambda prediction, _: prediction.probability),
    "label": _Kind("BYTES", (), lambda prediction, _: prediction.label),
    "warnings": _Kind("BYTES", (), lambda prediction, _: ", ".join(each.code for each in prediction.warnings)),
    "guard_score": _Kind(
        "FP32", (), lambda prediction, _: math.nan if prediction.guard_score is None else prediction.guard_score
    ),
    "heatmap": _Kind("FP32", (-1, -1), lambda _, reading: reading.heatmap),
}


def outputs_of(guard: Guard) -> list[TensorMetadata]:
    """The outputs of a model with this guard."""
    return [
        TensorMetadata(name=name, datatype=kind.datatype, shape=[-1, *kind.one])
        for name, kind in OUTPUTS.items()
        if name != "guard_score" or guard.mode != "off"
    ]


def wanted(asked: Asked, guard: Guard) -> dict[Output, bool]:
    """The outputs of an answer in their order, and whether each is binary. None requested: all but the heatmap.

    Raises:
        InvalidInference: one is requested twice, or is not there.
    """
    every, there = asked.parameters.binary_data_output, [output.name for output in outputs_of(guard)]
    if not asked.outputs:
        return {name: every for name in OUTPUTS if name in there and name != "heatmap"}
    found: dict[Output, bool] = {}
    for output in asked.outputs:
        if output.name in found or output.name not in there:
            raise InvalidInference(f"outputs: each at most once, of {', '.join(there)}")
        stated = output.parameters.binary_data
        found[output.name] = every if stated is None else stated
    return found


def respond(
    outputs: dict[Output, bool], answer: PredictResponse, readings: Sequence[Reading], point: Point, request_id: str
) -> Response:
    """The response that tells these outputs of an answer, and of the readings it was made of.

    Args:
        outputs: what is told, and whether as binary data.
        answer: with a prediction for every image.
        readings: one each.
        point: the operating point of the answer.
        request_id: to be sent back.
    """
    tensors, binary = [], b""
    for name, is_binary in outputs.items():
        values = [OUTPUTS[name].value(*each) for each in zip(answer.predictions, readings, strict=True)]
        tensor, data = _tensor(name, values, is_binary=is_binary)
        tensors.append(tensor)
        binary += data
    told = InferResponse(
        model_name=answer.model.name,
        model_version=answer.model.version,
        id=request_id,
        parameters=AnswerParameters(operating_point=point.name, threshold=point.threshold, provider=answer.provider),
        outputs=tensors,
    )
    head = told.model_dump_json(exclude_none=True).encode()
    if not any(outputs.values()):
        return Response(head, media_type="application/json")
    return Response(head + binary, media_type="application/octet-stream", headers={HEADER_LENGTH: str(len(head))})


def _tensor(name: Output, values: list[Any], *, is_binary: bool) -> tuple[OutputTensor, bytes]:
    """A tensor of these values, one an image, and the bytes that belong behind the JSON."""
    kind = OUTPUTS[name]
    if kind.datatype == "BYTES":
        shape, flat = [len(values)], values
        data = b"".join(len(text).to_bytes(4, "little") + text for text in map(str.encode, values))
    else:
        array = np.array(values, "<f4")
        shape, flat, data = list(array.shape), array.ravel().tolist(), array.tobytes()
    if is_binary:
        size = BinarySize(binary_data_size=len(data))
        return OutputTensor(name=name, shape=shape, datatype=kind.datatype, parameters=size), data
    return OutputTensor(name=name, shape=shape, datatype=kind.datatype, data=flat), b""
