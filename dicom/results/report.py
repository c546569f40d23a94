"""The answer to one object as a Structured Report: Comprehensive 3D SR by TID 1500 (PS3.16).

It has no Image Library: it would have to repeat attributes that most radiographs lack.
"""

import io

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom import Dataset

from dicom.results.result import MANUFACTURER, REPORT_SERIES, SERIES, Result, result_uid, uid_of
from dicom.results.source import procedure_of, source_of

# Codes of DICOM (PS3.16), SNOMED CT and UCUM.
DEVICE = CodedConcept("121007", "DCM", "Device")
IMAGING_PROCEDURE = ("363679005", "SCT", "Imaging procedure")
PNEUMONIA = CodedConcept("233604007", "SCT", "Pneumonia")
LUNG = CodedConcept("39607008", "SCT", "Lung")
ARTIFICIAL_INTELLIGENCE = CodedConcept("123110", "DCM", "Artificial Intelligence")
PROBABILITY = CodedConcept("122157", "DCM", "Probability")
NO_UNITS = CodedConcept("1", "UCUM", "no units")
PRESENT, ABSENT = CodedConcept("52101004", "SCT", "Present"), CodedConcept("272519000", "SCT", "Absent")


def report_of(data: bytes, result: Result) -> bytes:
    """The report on one object.

    Args:
        data: the whole file of the object.
        result: the answer to it.

    Returns:
        a DICOM file: UNVERIFIED, PRELIMINARY and COMPLETE, in a series of its own in the study of the source. Its UIDs
        depend on source, model and operating point alone.

    Raises:
        ImageRefused: the object cannot be read.
    """
    source = source_of(data)
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_observer(result)),
        procedure_reported=CodedConcept(*(procedure_of(data) or IMAGING_PROCEDURE)),
        imaging_measurements=[_group(source, result)],
    )
    report = Comprehensive3DSR(
        evidence=[source],
        content=content,
        series_instance_uid=result_uid("report series", source.SOPInstanceUID, result),
        series_number=REPORT_SERIES,
        sop_instance_uid=result_uid("report", source.SOPInstanceUID, result),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        series_description=SERIES,
        manufacturer_model_name=f"{result.model} {result.version}"[:64],
        software_versions=result.software,
        device_serial_number=result.model_sha256[:16],
    )
    return file_of(report)


def file_of(dataset: Dataset) -> bytes:
    """A data set of highdicom's as a file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _observer(result: Result) -> ObserverContext:
    return ObserverContext(
        observer_type=DEVICE,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=uid_of("device", result.model_sha256),
            name=MANUFACTURER,
            manufacturer_name=MANUFACTURER,
            model_name=f"{result.model} {result.version}",
            serial_number=result.model_sha256[:16],
        ),
    )


def _group(source: Dataset, result: Result) -> MeasurementsAndQualitativeEvaluations:
    algorithm = AlgorithmIdentification(
        name=result.model, version=result.version, parameters=result.parameters, family=ARTIFICIAL_INTELLIGENCE
    )
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=result_uid("finding", source.SOPInstanceUID, result), identifier="Pneumonia"
        ),
        finding_type=PNEUMONIA,
        finding_sites=[FindingSite(LUNG)],
        algorithm_id=algorithm,
        measurements=[Measurement(PROBABILITY, round(result.probability, 6), NO_UNITS)],
        qualitative_evaluations=[QualitativeEvaluation(PNEUMONIA, PRESENT if result.is_positive else ABSENT)],
        source_images=[SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID)],
    )
