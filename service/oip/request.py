"""From the body of an inference request to its images: JSON, or JSON followed by binary tensor data."""

import base64
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from contract.image import SIDE
from contract.io.messages import in_words
from service.errors import InvalidInference
from service.oip.request_wire import InferRequest, InputTensor, RequestedOutput, RequestParameters
from service.oip.views import View
from service.oip.wire import Input

HEADER_LENGTH = "Inference-Header-Content-Length"
# MLServer's name for how the data of each input are written in JSON.
_CODECS: dict[Input, str] = {"image": "np", "file": "base64", "pixels": "np"}
_WHOLE_NUMBERS = "data must be whole numbers from 0 to 255, as decoded, not scaled (image_client: --scaling NONE)"
# Commas, colons and brackets that the JSON of a request may have beyond those of its tensor.
_MARGIN = 10_000
# In fully nested pixels every number has brackets of its own. They are accepted for this many images.
_NESTED_IMAGES = 4
_MAX_LISTS = _NESTED_IMAGES * (SIDE * SIDE + SIDE + 1) + _MARGIN
Wire = TypeVar("Wire", bound=BaseModel)
_LENGTH = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True, eq=False)
class ParsedRequest:
    """An inference request: ``images`` are files, or pixels uint8 (200, 200, 1); empty ``outputs``: the defaults."""

    view: View
    images: Sequence[bytes | NDArray[np.uint8]]
    id: str | None
    parameters: RequestParameters
    outputs: Sequence[RequestedOutput]


def parse(body: bytes, header_length: str | None, max_images: int, view: View) -> ParsedRequest:
    """Parse a request. Slow for a large one, so call it in a thread.

    Args:
        body: the whole body.
        header_length: the header ``Inference-Header-Content-Length``: how many bytes of the body are JSON. None: all.
            "0": the body is one image: a file, or the binary data of the only input.
        max_images: upper limit of the images of one request.
        view: the inputs that the model has.

    Raises:
        InvalidInference: the request is not valid. The message says why, and quotes no values of the request.
    """
    length = len(body) if header_length is None else _json_length(header_length, len(body))
    if header_length is not None and length == 0:
        return ParsedRequest(view, _only_image(body, view), None, RequestParameters(binary_data_output=True), [])
    # Flat pixels have one comma per pixel.
    request = parse_json(InferRequest, body[:length], max_values=max_images * SIDE * SIDE + _MARGIN)
    if len(request.inputs) > 1 or request.inputs[0].name not in view.inputs:
        raise InvalidInference(f"inputs: send exactly one: {' or '.join(view.inputs)}")
    images = _images(request.inputs[0], memoryview(body)[length:], max_images, view)
    return ParsedRequest(view, images, request.id, request.parameters, request.outputs)


def parse_json(kind: type[Wire], text: bytes, *, max_values: int = _MARGIN) -> Wire:
    """Parse an object of the protocol.

    Args:
        kind: the pydantic model of the object.
        text: UTF-8.
        max_values: upper limit of the commas in the text.

    Raises:
        InvalidInference: the text is not JSON, does not match the model, or is over a limit.
    """
    # A parsed list takes thirty times the memory of its text, a wrong member (pydantic reports each) a thousand times,
    # and pydantic holds the GIL meanwhile. So the text is checked against limits before it is parsed.
    lists = text.count(b"[") + text.count(b"{")
    if text.count(b",") > max_values or text.count(b":") > _MARGIN or lists > _MAX_LISTS:
        raise InvalidInference("the JSON has too many values, members or lists; send tensors as binary data")
    try:
        return kind.model_validate(from_json(text, allow_inf_nan=False, cache_strings="none"))
    except ValidationError as error:
        raise InvalidInference(_first_error(error)) from None
    except ValueError:
        raise InvalidInference(
            "the request is not valid JSON: send UTF-8, without NaN or Infinity, not deeply nested"
        ) from None


def _first_error(error: ValidationError) -> str:
    """Where and how a request is wrong. Names of unknown members are left out: they are content of the request."""
    first = error.errors(include_url=False, include_input=False)[0]
    is_unknown = first["type"] == "extra_forbidden"
    where = ".".join(map(str, first["loc"][:-1] if is_unknown else first["loc"])) or "the request"
    return f"{where}: {'it has an unknown member' if is_unknown else in_words(first)}"


def _json_length(header_length: str, body_length: int) -> int:
    if not _LENGTH.fullmatch(header_length) or int(header_length) > body_length:
        raise InvalidInference(f"{HEADER_LENGTH} must be a number of bytes, at most the length of the body")
    return int(header_length)


def _only_image(body: bytes, view: View) -> Sequence[bytes | NDArray[np.uint8]]:
    return [body] if "file" in view.inputs else _arrays("pixels", _from_fp32(body), [1, SIDE, SIDE, 1])


def _images(
    tensor: InputTensor, binary: memoryview, max_images: int, view: View
) -> Sequence[bytes | NDArray[np.uint8]]:
    datatype, image_shape = view.inputs[tensor.name]
    # Files: [n] as well as [n, 1], which MLServer's codecs and perf_analyzer send.
    shapes = [image_shape, []] if datatype == "BYTES" else [image_shape]
    if tensor.datatype != datatype or tensor.shape[1:] not in shapes:
        raise InvalidInference(f"{tensor.name}: it must be {datatype} of shape {[-1, *image_shape]}")
    if tensor.shape[0] > max_images:
        raise InvalidInference(f"{tensor.name}: a request may have at most {max_images} image{'s' * (max_images > 1)}")
    size = tensor.parameters.binary_data_size
    if (size or 0) != len(binary):
        raise InvalidInference(
            f"{tensor.name}: binary_data_size is {size or 0}, but {len(binary)} bytes of binary data were sent"
        )
    if (size is None) == (tensor.data is None):
        raise InvalidInference(f"{tensor.name}: send either data or binary_data_size, not both")
    if tensor.parameters.content_type not in (None, _CODECS[tensor.name]):
        raise InvalidInference(f"{tensor.name}: content_type, if it is sent, must be {_CODECS[tensor.name]}")
    if tensor.name == "file":
        return _split(binary, tensor.shape[0]) if tensor.data is None else _from_base64(tensor.data, tensor.shape[0])
    if tensor.data is not None:
        return _arrays(tensor.name, _pixels(tensor.name, tensor.data, tensor.shape), tensor.shape)
    return _arrays(tensor.name, _from_fp32(binary) if tensor.name == "pixels" else binary, tensor.shape)


def _arrays(name: Input, flat: bytes | memoryview, shape: Sequence[int]) -> list[NDArray[np.uint8]]:
    if len(flat) != math.prod(shape):
        raise InvalidInference(f"{name}: {len(flat)} values do not fill shape {list(shape)}")
    return list(np.frombuffer(flat, np.uint8).reshape(shape))


def _pixels(name: Input, data: list[Any], shape: Sequence[int]) -> bytes:
    """The pixels of a tensor in JSON, flat or nested as its shape says."""
    for size in shape[1:]:
        if not data or not isinstance(data[0], list):
            break
        if set(map(type, data)) != {list} or set(map(len, data)) != {size}:
            raise InvalidInference(f"{name}: the nesting of the lists does not match the shape")
        data = list(chain.from_iterable(data))
    kinds = set(map(type, data))
    try:
        if kinds <= {int}:
            return bytes(data)
        if name == "pixels" and kinds <= {int, float}:
            return _whole_numbers(np.array(data, float))
    except (OverflowError, ValueError):
        pass
    raise InvalidInference(f"{name}: {_WHOLE_NUMBERS}")


def _from_fp32(data: bytes | memoryview) -> bytes:
    if len(data) % 4:
        raise InvalidInference("pixels: the binary data must be FP32, four bytes for each value")
    return _whole_numbers(np.frombuffer(data, "<f4"))


def _whole_numbers(values: NDArray[np.floating[Any]]) -> bytes:
    if not np.all((values >= 0) & (values <= 255) & (values == np.floor(values))):
        raise InvalidInference(f"pixels: {_WHOLE_NUMBERS}")
    return values.astype(np.uint8).tobytes()


def _from_base64(data: list[Any], count: int) -> list[bytes]:
    if data and isinstance(data[0], list):  # nested as [n, 1] says
        data = [each[0] if isinstance(each, list) and len(each) == 1 else None for each in data]
    if len(data) != count:
        raise InvalidInference(f"file: {len(data)} values do not fill shape [{count}]")
    try:
        return [base64.b64decode(file, validate=True) for file in data]
    except (TypeError, ValueError):
        raise InvalidInference("file: data must be base64: the standard alphabet, padded, no line breaks") from None


def _split(data: memoryview, count: int) -> list[bytes]:
    """The elements of a BYTES tensor, each preceded by its length (4 bytes, little-endian)."""
    elements: list[bytes] = []
    end = 0
    while end < len(data) and len(elements) < count:
        begin = end + 4
        end = begin + int.from_bytes(data[end:begin], "little")
        elements.append(bytes(data[begin:end]))
    if end != len(data) or len(elements) != count:
        raise InvalidInference(f"file: the binary data must be {count} element(s), each preceded by its length")
    return elements
