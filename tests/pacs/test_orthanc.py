"""A radiograph in Orthanc is routed to the node, and its SR and heatmap come back into its study: exactly once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.node.kill import STEPS, Step, command
from tests.node.running import RunningNode, node_command, running, spooled
from tests.pacs.conftest import NewImage, Service, node_config
from tests.pacs.orthanc import Orthanc, dcmsend
from tests.waiting import until

ANSWERED = Counter({"CR": 1, "SR": 1, "OT": 1})
OBJECTS, ASSOCIATIONS = 500, 12


def await_answer(pacs: Orthanc, study: str, node: RunningNode) -> None:
    """Wait until a study has its three instances, by QIDO-RS; failed jobs are resubmitted meanwhile."""

    def answered() -> bool:
        if pacs.jobs()["Failure"]:
            pacs.resubmit()
        return pacs.modalities(study).total() >= 3

    until(answered, lambda: f"{pacs.modalities(study)} {pacs.jobs()}\n{node.log}")
    node.await_idle()
    assert pacs.modalities(study) == ANSWERED


def referenced(dataset: Dataset) -> set[str]:
    """The SOP Instance UIDs that a result refers to."""
    return {str(element.value) for element in dataset.iterall() if element.keyword == "ReferencedSOPInstanceUID"}


def test_sr_and_heatmap_come_back_into_the_study(
    pacs: Orthanc, service: Service, node: RunningNode, new_image: NewImage
) -> None:
    path, study = new_image()
    dcmsend([path])
    await_answer(pacs, study, node)
    retrieved = {dataset.Modality: dataset for dataset in pacs.retrieve(study)}
    image = dcmread(path)
    assert {str(dataset.StudyInstanceUID) for dataset in retrieved.values()} == {study}
    assert {str(dataset.PatientID) for dataset in retrieved.values()} == {image.PatientID}
    assert image.SOPInstanceUID in referenced(retrieved["SR"])
    in_rest = {entry["SOPInstanceUID"] for entry in pacs.instances() if entry["StudyInstanceUID"] == study}
    assert in_rest == {str(dataset.SOPInstanceUID) for dataset in retrieved.values()}
    assert str(image.PatientName) not in node.log + node.metrics()


def test_a_repeat_changes_nothing(pacs: Orthanc, service: Service, node: RunningNode, new_image: NewImage) -> None:
    path, study = new_image()
    dcmsend([path])
    await_answer(pacs, study, node)
    before = {dataset.SOPInstanceUID: dataset for dataset in pacs.retrieve(study)}
    dcmsend([path])
    pacs.store_to_node(study)  # all three: what the node wrote is not read again
    node.await_idle()
    assert {dataset.SOPInstanceUID: dataset for dataset in pacs.retrieve(study)} == before
    assert 'outcome="known"' in node.metrics()
    assert node.health()["dead"] == 0


def test_the_service_is_down_for_half_a_minute(
    pacs: Orthanc, service: Service, node: RunningNode, new_image: NewImage
) -> None:
    path, study = new_image()
    service.stop()
    try:
        dcmsend([path])
        # The retry policy reports at once, and then every 30 s.
        until(lambda: node.log.count("node.analysis: service: cannot connect") == 2, lambda: node.log)
        assert node.health()["waiting"] == 1
        assert pacs.modalities(study) == Counter({"CR": 1})
    finally:
        service.start()
    await_answer(pacs, study, node)


def test_the_destination_is_down_and_comes_up_again(
    pacs: Orthanc, service: Service, node: RunningNode, new_image: NewImage
) -> None:
    path, study = new_image()
    service.stop()
    dcmsend([path])
    until(lambda: node.health()["waiting"] == 1, lambda: node.log)
    pacs.stop()
    try:
        service.start()
        until(lambda: node.health()["undelivered"] == 2 and node.health()["problems"], lambda: node.log)
    finally:
        pacs.start()
    await_answer(pacs, study, node)


def test_results_by_stow_rs(pacs: Orthanc, service: Service, new_image: NewImage, tmp_path: Path) -> None:
    path, study = new_image()
    config = node_config(tmp_path, stow=True)
    with running(config) as node:
        dcmsend([path])
        await_answer(pacs, study, node)
        pacs.store_to_node(study)
        node.await_idle()
        assert pacs.modalities(study) == ANSWERED
        assert node.stop() == 0
    assert spooled(config) == []


@pytest.mark.parametrize("step", STEPS, ids=lambda step: "-".join(map(str, step[1:])))
def test_the_node_is_killed(pacs: Orthanc, service: Service, config: Path, new_image: NewImage, step: Step) -> None:
    path, study = new_image()
    with running(config, command(step)) as node:
        dcmsend([path])
        until(lambda: node.process.poll() is not None, lambda: f"the step was never reached: {node.log}")
    with running(config) as node:
        await_answer(pacs, study, node)
        assert node.health()["dead"] == 0
        assert spooled(config) == []
        assert node.stop() == 0


def test_a_dead_letter_is_retried(pacs: Orthanc, service: Service, config: Path, new_image: NewImage) -> None:
    path, study = new_image()
    image = dcmread(path)
    image.PixelData = image.PixelData[:100]  # truncated: refused by the service
    image.save_as(path, enforce_file_format=True)
    with running(config) as node:
        dcmsend([path])
        until(lambda: node.health()["dead"] == 1, lambda: node.log)
        listed = node_command(config, "dead").stdout
        assert str(image.SOPInstanceUID) in listed
        assert "422 unusable-object: " in listed
        assert str(image.PatientName) not in listed + node.log
        assert node_command(config, "retry", str(image.SOPInstanceUID)).returncode == 0
        until(lambda: node.metrics().count('analyses_total{outcome="dead"} 2'), lambda: node.log)
        assert pacs.modalities(study) == Counter({"CR": 1})
        assert node.stop() == 0


def test_500_objects_over_12_associations(
    pacs: Orthanc, service: Service, node: RunningNode, new_image: NewImage
) -> None:
    before, images = pacs.count(), [new_image() for _ in range(OBJECTS)]
    files = [path for path, _ in images]
    with ThreadPoolExecutor(ASSOCIATIONS) as senders:
        list(senders.map(dcmsend, [files[start::ASSOCIATIONS] for start in range(ASSOCIATIONS)]))

    for wanted in range(before, before + 3 * OBJECTS + 1, 50):  # each step has the whole deadline
        reached = partial(_has, pacs, wanted)
        until(reached, lambda: f"{pacs.count() - before} {pacs.jobs()} {node.health()}")
    node.await_idle()
    assert pacs.count() == before + 3 * OBJECTS
    assert {tuple(sorted(pacs.modalities(study).items())) for _, study in images} == {tuple(sorted(ANSWERED.items()))}
    assert node.metrics().count('sent_total{destination="pacs",outcome="stored"} 1000.0') == 1


def _has(pacs: Orthanc, count: int) -> bool:
    if pacs.jobs()["Failure"]:
        pacs.resubmit()
    return pacs.count() >= count
