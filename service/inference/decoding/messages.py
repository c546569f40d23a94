"""The protocol between the service and a decoder process: lengths, a JSON object, and bytes."""

import json
import struct
from dataclasses import dataclass
from typing import Any

from contract import errors
from contract.errors import ImageRefused

HEAD = struct.Struct(">II")  # bytes of the JSON object, and of what follows it


@dataclass(frozen=True, slots=True)
class Message:
    """One request or reply."""

    fields: dict[str, Any]
    content: bytes = b""


def pack(message: Message) -> list[bytes]:
    """A message as the pieces to write."""
    fields = json.dumps(message.fields).encode()
    return [HEAD.pack(len(fields), len(message.content)), fields, message.content]


def refusal(error: ImageRefused) -> Message:
    """The reply for an image that was refused."""
    return Message({"refused": type(error).__name__, "detail": str(error)})


def raise_refusal(message: Message) -> None:
    """Raise the exception that ``refusal`` made this reply of; other replies pass.

    Raises:
        ImageRefused: of the kind that the decoder raised.
    """
    if name := message.fields.get("refused"):
        kind = getattr(errors, str(name), ImageRefused)
        raise kind(str(message.fields["detail"]))
