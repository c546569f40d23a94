"""Writing the DICOM files about DICOM files."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from service.client.objects import ObjectWriter
from tests.service.client.test_results import predicted
from tests.waiting import DEADLINE_S

ANSWER = b"\x02\x00\x03\x00UI\x06\x002.25.7" + bytes(100)
IMAGE = bytes(128) + b"DICM"


class SameAnswer:
    """A predictor to which every image is the same."""

    info: Any = None

    async def predict(self, image: bytes) -> Any:
        return predicted("x")

    async def object_about(self, image: bytes, kind: str) -> bytes:
        return ANSWER


@pytest.mark.anyio
async def test_the_same_object_can_be_written_twice_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, write = threading.Barrier(2, timeout=DEADLINE_S), Path.write_bytes

    def write_together(path: Path, content: bytes) -> int:
        count = write(path, content)
        both.wait()
        return count

    monkeypatch.setattr(Path, "write_bytes", write_together)
    writer = ObjectWriter(SameAnswer(), {"report": tmp_path})
    await asyncio.gather(writer.predict(IMAGE), writer.predict(IMAGE))
    assert [path.name for path in tmp_path.iterdir()] == ["2.25.7.dcm"]
    assert (tmp_path / "2.25.7.dcm").read_bytes() == ANSWER
