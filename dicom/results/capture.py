"""A drawn picture about one object as a Secondary Capture, which every viewer shows."""

import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian

from dicom.results.report import file_of
from dicom.results.result import CAPTURE_SERIES, MANUFACTURER, SERIES, Result, result_uid
from dicom.results.source import source_of


def capture_of(data: bytes, picture: NDArray[np.uint8], result: Result) -> bytes:
    """A picture about one object, with its result burnt in.

    Args:
        data: the whole file of the object.
        picture: RGB, uint8 (rows, columns, 3).
        result: the answer to the object.

    Returns:
        a DICOM file: Modality OT, Burned In Annotation YES, without a pixel spacing, in a series of its own in the
        study of the source. Its UIDs depend on source, model and operating point alone.

    Raises:
        ImageRefused: the object cannot be read.
    """
    source = source_of(data)
    capture = SCImage(
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # highdicom requires one; the source's replaces it below
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=result_uid("capture series", source.SOPInstanceUID, result),
        series_number=CAPTURE_SERIES,
        sop_instance_uid=result_uid("capture", source.SOPInstanceUID, result),
        instance_number=1,
        manufacturer=MANUFACTURER,
        patient_id=source.PatientID,
        patient_name=source.PatientName,
        patient_birth_date=source.PatientBirthDate,
        patient_sex=source.PatientSex,
        accession_number=source.AccessionNumber,
        study_id=source.StudyID,
        study_date=source.StudyDate,
        study_time=source.StudyTime,
        referring_physician_name=source.ReferringPhysicianName,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description=SERIES,
        manufacturer_model_name=f"{result.model} {result.version}"[:64],
        software_versions=result.software,
        device_serial_number=result.model_sha256[:16],
        specific_character_set=source.SpecificCharacterSet,
    )
    capture.copy_patient_and_study_information(source)
    capture.PatientOrientation = source.PatientOrientation
    capture.Laterality = ""
    capture.BurnedInAnnotation = "YES"
    return file_of(capture)
