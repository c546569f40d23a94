"""What a DICOM object says of its patient reaches the objects written about it, and nothing else: no log, no metric, no
error, no answer in JSON, no header, no warning of a library.
"""

import io
import logging
import warnings
from typing import Any

import httpx
import pydicom
import pytest
from pydicom import Dataset
from pydicom.datadict import dictionary_VR

from dicom.format.quiet import silence
from tests.conftest import Connect, MakeService
from tests.dicom_objects import described, grey16, written

pytestmark = pytest.mark.anyio
CANARY = "TweetyBird"
# Each once with a value that its VR allows, as far as it does, and once with one that breaks it.
PATIENT = [
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientAddress",
    "PatientComments",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "SeriesDescription",
    "ReferringPhysicianName",
    "OperatorsName",
    "InstitutionName",
    "StationName",
    "ProtocolName",
    "DetectorID",
    "ImageComments",
]
DICOM = {"Accept": "application/dicom"}


def object_with_canaries(value: str, **attributes: Any) -> bytes:
    silence()  # pydicom warns of values that break their VR when it writes them, too
    dataset = described(grey16(), **attributes)
    for keyword in PATIENT:
        dataset.add_new(keyword, dictionary_VR(keyword), value)
    block = dataset.private_block(0x0009, CANARY, create=True)
    for number, vr in enumerate(("LO", "PN", "DA", "UN", "SQ")):
        private: Any = value.encode() if vr == "UN" else [Dataset()] if vr == "SQ" else value
        block.add_new(number, vr, private)
    dataset.SpecificCharacterSet = f"ISO {CANARY}" if len(value) > 50 else "ISO_IR 192"
    dataset.PixelData = grey16().tobytes()
    dataset["PixelData"].VR = "OW"
    return written(dataset)


OBJECTS = {
    "plain": object_with_canaries(CANARY),
    "too long": object_with_canaries(CANARY * 20),
    "refused": object_with_canaries(CANARY, Modality="CT"),
    "contradictory": object_with_canaries(CANARY, Rows=10_000),
    "cut": object_with_canaries(CANARY)[:3000],
    "strange": object_with_canaries(CANARY, Modality=CANARY, ViewPosition=CANARY, BodyPartExamined=CANARY),
    "window": object_with_canaries(CANARY, WindowCenter=None, WindowWidth=None, VOILUTFunction=CANARY),
}


async def answers(client: httpx.AsyncClient, data: bytes) -> list[httpx.Response]:
    multipart = {"files": [("file", (f"{CANARY}.dcm", data))]}
    return [
        await client.post("/predict", content=data),
        await client.post("/explain", content=data),
        await client.post("/predict", content=data, headers=DICOM),
        await client.post("/explain", content=data, headers=DICOM),
        await client.post("/render", content=data),
        await client.post("/explain", **multipart),  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize("name", OBJECTS)
async def test_nothing_of_the_patient_is_logged_answered_or_printed(
    name: str,
    make_service: MakeService,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        async with connect(make_service()) as client:
            received = await answers(client, OBJECTS[name])
            metrics = (await client.get("/metrics")).text
    printed = capfd.readouterr()
    seen = [metrics, printed.out, printed.err, *(str(each.message) for each in warned)]
    seen += [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
    seen += [str(answer.headers) for answer in received]
    written_about = [answer for answer in received if answer.headers["content-type"] == "application/dicom"]
    seen += [answer.content.decode("latin-1") for answer in received if answer not in written_about]
    assert [text for text in seen if CANARY in text] == []
    for answer in written_about:
        about = pydicom.dcmread(io.BytesIO(answer.content))
        keywords = {element.keyword for element in about.iterall() if CANARY in str(element.value)}
        allowed = "PatientName PatientID StudyID AccessionNumber StudyDescription ReferringPhysicianName"
        assert keywords <= set(allowed.split())


async def test_a_patient_s_name_is_in_the_report(make_service: MakeService, connect: Connect) -> None:
    """The canaries of the other test are where they would be seen."""
    async with connect(make_service()) as client:
        answer = await client.post("/predict", content=OBJECTS["plain"], headers=DICOM)
    assert str(pydicom.dcmread(io.BytesIO(answer.content)).PatientName) == CANARY
