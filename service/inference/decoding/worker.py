"""The decoder process: reads requests from its standard input, and writes pixels or a refusal to its standard output.

It imports nothing of the service beside how files are decoded, and holds no secrets and no files.
"""

import json
import sys
from typing import BinaryIO

from contract.errors import ImageRefused, TooManyPixels
from service.inference.decoding.messages import HEAD, Message, pack, refusal
from service.inference.decoding.rules import Rules
from service.inference.dicom import decode, picture


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer requests until there are no more."""
    while head := requests.read(HEAD.size):
        fields, content = (requests.read(length) for length in HEAD.unpack(head))
        for piece in pack(_answer(Message(json.loads(fields), content))):
            replies.write(piece)
        replies.flush()


def _answer(request: Message) -> Message:
    try:
        if "longest" in request.fields:
            grey = picture(request.content, request.fields["longest"], max_pixels=request.fields["max_pixels"])
            return Message({"size": grey.size}, grey.tobytes())
        decoded = decode(request.content, Rules.from_fields(request.fields))
    except ImageRefused as error:
        return refusal(error)
    except MemoryError:
        return refusal(TooManyPixels("decoding the image takes more memory than there is"))
    facts = ("turned", "frame", "unclear_depth", "notes", "age")
    return Message({name: getattr(decoded, name) for name in facts}, decoded.pixels.tobytes())


def main() -> None:
    """Run as a process."""
    serve(sys.stdin.buffer, sys.stdout.buffer)
