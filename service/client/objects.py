"""Writes reports and heatmaps about DICOM files as DICOM files, each kind into its folder."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from contract.header import is_dicom
from contract.io.files import write_file
from service.client.predicting import Predictor, PredictorInfo
from service.wire import PredictResponse

Kind = Literal["report", "heatmap"]
# Media Storage SOP Instance UID in the meta information of a DICOM file.
_UID = re.compile(rb"\x02\x00\x03\x00UI..([0-9.]{1,64})", re.DOTALL)


class ObjectUnavailable(Exception):
    """There is no object about this file; the message says why."""


class ObjectPredictor(Predictor, Protocol):
    """A predictor that also answers DICOM files with DICOM files."""

    async def object_about(self, image: bytes, kind: Kind) -> bytes:
        """The object of this kind about a DICOM file.

        Raises:
            ObjectUnavailable: there is none.
            PredictorStopped: no other image could be analysed either.
        """


class ObjectWriter:
    """A predictor that writes the objects about each DICOM file as well.

    Their names are their UIDs: the same result is the same file, and no file's name, which may be a patient's, is used.

    Args:
        predictor: the predictor.
        folders: where objects of each kind are written; they are made if they do not exist.
    """

    def __init__(self, predictor: ObjectPredictor, folders: Mapping[Kind, Path]) -> None:
        self._predictor, self._folders = predictor, folders
        self.others, self.failures = 0, list[str]()

    @property
    def info(self) -> PredictorInfo:
        """That of the predictor."""
        return self._predictor.info

    async def predict(self, image: bytes) -> PredictResponse:
        """The predictor's answer, once the objects are written."""
        answer = await self._predictor.predict(image)
        if answer.predictions[0].error is None:
            if is_dicom(image):
                await self._write(image)
            else:
                self.others += 1
        return answer

    async def _write(self, image: bytes) -> None:
        for kind, folder in self._folders.items():
            try:
                content = await self._predictor.object_about(image, kind)
                await asyncio.to_thread(_write_file, folder, content)
            except ObjectUnavailable as error:
                self.failures.append(str(error))


def _write_file(folder: Path, content: bytes) -> None:
    uid = _UID.search(content[:1024])
    if uid is None:
        raise ObjectUnavailable("the answer is no DICOM file")
    folder.mkdir(parents=True, exist_ok=True)
    # Two files of the same image are answered by the same object, perhaps at the same time.
    write_file(folder / f"{uid[1].decode()}.dcm", content, durable=False)
