"""From the body of an inference request to the images in it: JSON, or JSON with binary tensors behind it."""

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
from service.errors import InvalidInference
from service.oip.wire import Datatype, InferRequest, Input, InputTensor, RequestedOutput, RequestParameters

HEADER_LENGTH = "Inference-Header-Content-Length"
# Datatype and shape of one image of each input.
INPUTS: dict[Input, tuple[Datatype, list[int]]] = {"image": ("UINT8", [SIDE, SIDE, 1]), "file": ("BYTES", [])}
# Commas, colons and brackets that a request's JSON may have beside those of its tensor.
_SPARE = 10_000
# Brackets of nested pixels, in which every number has its own, for so many images.
_NESTED_IMAGES = 4
_MOST_LISTS = _NESTED_IMAGES * (SIDE * SIDE + SIDE + 1) + _SPARE
Wire = TypeVar("Wire", bound=BaseModel)
_LENGTH = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """An inference request without its body: files, or pixels uint8 (200, 200, 1), and what is to be told of them."""

    images: Sequence[bytes | NDArray[np.uint8]]
    id: str | None
    parameters: RequestParameters
    outputs: Sequence[RequestedOutput]


def parse(body: bytes, stated: str | None, max_images: int) -> Asked:
    """Read a request. Slow for a large one: to be called in a thread.

    Args:
        body: all of it.
        stated: the header ``Inference-Header-Content-Length``: how much of the body is JSON, if not all of it. 0: the
            body is one file.
        max_images: most images of one request.

    Raises:
        InvalidInference: it is none; the message says why, and quotes nothing of it.
    """
    length = len(body) if stated is None else _stated_length(stated, len(body))
    if stated is not None and length == 0:
        return Asked([body], None, RequestParameters(binary_data_output=True), [])
    # Flat pixels of as many images as may come have so many commas.
    request = read_json(InferRequest, body[:length], most_values=max_images * SIDE * SIDE + _SPARE)
    if len(request.inputs) > 1:
        raise InvalidInference(f"inputs: send one of {', '.join(INPUTS)}, once")
    images = _images(request.inputs[0], memoryview(body)[length:], max_images)
    return Asked(images, request.id, request.parameters, request.outputs)


def read_json(kind: type[Wire], text: bytes, *, most_values: int = _SPARE) -> Wire:
    """An object of the protocol.

    Raises:
        InvalidInference: the text is not JSON, or not of this kind, or has more values than that.
    """
    # Parsed, a list takes thirty times its text, a wrong member (pydantic complains of each) a thousand times, and
    # nothing else in the process runs while many of them are made: what nobody means is refused before that.
    lists = text.count(b"[") + text.count(b"{")
    if text.count(b",") > most_values or text.count(b":") > _SPARE or lists > _MOST_LISTS:
        raise InvalidInference("the JSON has more values, members or lists than are taken; send tensors as binary data")
    try:
        return kind.model_validate(from_json(text, allow_inf_nan=False, cache_strings="none"))
    except ValidationError as error:
        raise InvalidInference(_first(error)) from None
    except ValueError:
        raise InvalidInference("this is not JSON: UTF-8, no NaN or Infinity, not too deep") from None


def _first(error: ValidationError) -> str:
    """Where a request is wrong, and how. Names that only its sender knows are left out."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    unknown = first["type"] == "extra_forbidden"
    where = ".".join(map(str, first["loc"][:-1] if unknown else first["loc"])) or "the request"
    return f"{where}: {'it has a member that is not known here' if unknown else first['msg']}"


def _stated_length(stated: str, body: int) -> int:
    if not _LENGTH.fullmatch(stated) or int(stated) > body:
        raise InvalidInference(f"{HEADER_LENGTH} must be a number of bytes, and not more than the body has")
    return int(stated)


def _images(tensor: InputTensor, binary: memoryview, max_images: int) -> Sequence[bytes | NDArray[np.uint8]]:
    datatype, one = INPUTS[tensor.name]
    if (tensor.datatype, tensor.shape[1:]) != (datatype, one):
        raise InvalidInference(f"{tensor.name}: it is {datatype} of shape {[-1, *one]}")
    if tensor.shape[0] > max_images:
        raise InvalidInference(f"{tensor.name}: a request may hold {max_images} image{'s' * (max_images > 1)}")
    size = tensor.parameters.binary_data_size
    if (size or 0) != len(binary):
        raise InvalidInference(f"{tensor.name}: {size or 0} bytes of binary data are stated, {len(binary)} were sent")
    if (size is None) == (tensor.data is None):
        raise InvalidInference(f"{tensor.name}: send either data or binary_data_size")
    if tensor.name == "file":
        return _split(binary, tensor.shape[0]) if tensor.data is None else _from_base64(tensor.data, tensor.shape[0])
    flat = binary if tensor.data is None else _pixels(tensor.data, tensor.shape)
    if len(flat) != math.prod(tensor.shape):
        raise InvalidInference(f"image: {len(flat)} numbers are not {tensor.shape}")
    return list(np.frombuffer(flat, np.uint8).reshape(tensor.shape))


def _pixels(data: list[Any], shape: Sequence[int]) -> bytes:
    """The numbers of a tensor, which may be nested as its shape says."""
    for size in shape[1:]:
        if not data or not isinstance(data[0], list):
            break
        if set(map(type, data)) != {list} or set(map(len, data)) != {size}:
            raise InvalidInference("image: the lists are not nested as the shape says")
        data = list(chain.from_iterable(data))
    try:
        if set(map(type, data)) <= {int}:
            return bytes(data)
    except ValueError:
        pass
    raise InvalidInference("image: data must be whole numbers from 0 to 255")


def _from_base64(data: list[Any], count: int) -> list[bytes]:
    if len(data) != count:
        raise InvalidInference(f"file: {len(data)} values are not [{count}]")
    try:
        return [base64.b64decode(file, validate=True) for file in data]
    except (TypeError, ValueError):
        raise InvalidInference("file: data must be base64: its standard letters, padded, nothing else") from None


def _split(data: memoryview, count: int) -> list[bytes]:
    """The elements of a BYTES tensor, each behind its length (4 bytes, little-endian)."""
    found: list[bytes] = []
    at = 0
    while at < len(data) and len(found) < count:
        begin = at + 4
        at = begin + int.from_bytes(data[at:begin], "little")
        found.append(bytes(data[begin:at]))
    if at != len(data) or len(found) != count:
        raise InvalidInference(f"file: the binary data are not {count} element(s), each behind its length")
    return found
