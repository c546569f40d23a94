"""An inconsistent bundle is refused with one line that names the file."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.bundle import (
    CARD,
    GRAPH,
    INT8_GRAPH,
    MANIFEST,
    SIGNATURE,
    BundleError,
    Calibration,
    Population,
    find_bundle,
    read_bundle,
    write_bundle,
)
from contract.image import IMAGE_CONTRACT, IMAGE_CONTRACTS
from tests import BUNDLED_MODEL
from tests.bundles import GUARD, THRESHOLD, a_point, brightness_graph, manifest, write_brightness_bundle

ADULT = Population(
    description="adults of 18 years and over",
    from_age=18,
    below_age=None,
    operating_points={"balanced": a_point(0.6)},
    calibration=Calibration(method="platt", scale=1.1, shift=-0.4, fitted_on="drawn"),
    prevalence=0.4,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_brightness_bundle(tmp_path / "brightness" / "1")


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads((folder / MANIFEST).read_text())
    change(record)
    (folder / MANIFEST).write_text(json.dumps(record))


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        read_bundle(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_reads_what_was_written(folder: Path) -> None:
    bundle = read_bundle(folder)
    assert bundle.graph == brightness_graph()
    assert bundle.card.startswith("# brightness")
    assert bundle.manifest.threshold == THRESHOLD


def test_a_second_graph_is_read_and_its_digest_checked(tmp_path: Path) -> None:
    folder = write_brightness_bundle(tmp_path / "1", int8_graph=brightness_graph(full=510), cpu_graph=INT8_GRAPH)
    assert read_bundle(folder).int8_graph == brightness_graph(full=510)
    (folder / INT8_GRAPH).write_bytes(b"changed")
    assert f"{INT8_GRAPH}: SHA-256 differs from {MANIFEST}" in refusal(folder)


@pytest.mark.parametrize("name", [GRAPH, CARD, MANIFEST])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name}: No such file" in refusal(folder)


@pytest.mark.parametrize("name", [GRAPH, CARD])
def test_a_changed_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-1] + b"!")
    assert f"{name}: SHA-256 differs from {MANIFEST}" in refusal(folder)


def test_another_image_contract_is_refused(folder: Path) -> None:
    edit(folder, lambda record: record.update(image_contract=IMAGE_CONTRACT + 1))
    assert f"made for image contract {IMAGE_CONTRACT + 1}; this version supports 1, 2" in refusal(folder)


@pytest.mark.parametrize("contract", IMAGE_CONTRACTS)
def test_a_bundle_of_an_earlier_image_contract_is_read(folder: Path, contract: int) -> None:
    edit(folder, lambda record: record.update(image_contract=contract))
    assert read_bundle(folder).manifest.image_contract == contract


def test_populations_are_read(tmp_path: Path) -> None:
    folder = write_brightness_bundle(tmp_path / "1", populations={"adult": ADULT})
    assert read_bundle(folder).manifest.populations["adult"].below_age is None


def test_a_population_with_other_operating_points_is_refused(folder: Path) -> None:
    adult = ADULT.model_dump(mode="json") | {"operating_points": {}}
    edit(folder, lambda record: record.update(populations={"adult": adult}))
    assert "population 'adult' has other operating points than the manifest" in refusal(folder)


def test_a_population_called_unknown_is_refused(folder: Path) -> None:
    edit(folder, lambda record: record.update(populations={"unknown": ADULT.model_dump(mode="json")}))
    assert "no population can be called 'unknown'" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: record.pop("created_at"), "created_at: it is missing"),
        (lambda record: record.update(surprise=1), "surprise: it is not known"),
        (lambda record: record.update(default_operating_point="brave"), "operating_points has no 'brave'"),
        (lambda record: record["files"].pop(GRAPH), f"no digest of {GRAPH}"),
        (lambda record: record.update(cpu_graph=INT8_GRAPH), f"no digest of {INT8_GRAPH}"),
        (lambda record: record["files"].update({"../../etc/passwd": "0" * 64}), "files"),
        (lambda record: record["operating_points"]["balanced"].update(threshold=1.5), "threshold"),
        (lambda record: record.update(labels=["PNEUMONIA", "NORMAL"]), "labels"),
        (lambda record: record["calibration"].update(shift=math.nan), "calibration.shift: it must be a finite number"),
        (lambda record: record["calibration"].update(scale=math.inf), "calibration.scale: it must be a finite number"),
        (lambda record: record["input_guard"].update(location=[math.nan] * 2), "input_guard.location.0: it must be a"),
        (lambda record: record["input_guard"].update(threshold=math.inf), "input_guard.threshold: it must be a finite"),
        (lambda record: _adult(record).update(from_age=math.inf), "populations.adult.from_age: it must be a finite"),
        (lambda record: _adult(record).update(from_age=18, below_age=18), "below_age must be more than from_age"),
    ],
)
def test_a_wrong_manifest_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str) -> None:
    graph = brightness_graph(features=2)
    folder = write_brightness_bundle(tmp_path / "1", graph=graph, input_guard=GUARD, populations={"adult": ADULT})
    edit(folder, change)
    assert words in refusal(folder)


def _adult(record: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = record["populations"]["adult"]
    return found


def test_a_manifest_that_is_not_json_is_refused(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")
    assert "Invalid JSON" in refusal(folder)


def test_an_old_manifest_without_a_drift_reference_is_read(folder: Path) -> None:
    edit(folder, lambda record: record.pop("drift_reference"))
    assert read_bundle(folder).manifest.drift_reference is None


def test_an_old_version_is_never_overwritten(folder: Path) -> None:
    with pytest.raises(BundleError, match="choose a new version"):
        write_brightness_bundle(folder)


def test_a_bundle_is_not_written_beside_the_signature_of_another(tmp_path: Path) -> None:
    (tmp_path / SIGNATURE).write_bytes(bytes(64))
    with pytest.raises(BundleError, match="already holds a bundle"):
        write_brightness_bundle(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [SIGNATURE]


def test_digests_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    contents = {GRAPH: b"graph", CARD: b"card"}
    with pytest.raises(BundleError, match="differ from those of the files"):
        write_bundle(tmp_path / "x", manifest(contents), {**contents, CARD: b"another"})
    assert not (tmp_path / "x").exists()


def test_the_bundled_model_is_consistent() -> None:
    bundle = read_bundle(BUNDLED_MODEL)
    assert (bundle.manifest.name, bundle.manifest.version) == ("pneumonia", BUNDLED_MODEL.name)
    assert bundle.manifest.drift_reference is not None
    assert bundle.manifest.drift_reference.images == bundle.manifest.results["validation"]["images"]
    assert "Not a medical device" in bundle.card


@pytest.mark.parametrize(
    ("name", "said"), [("loop", "Too many levels of symbolic links"), ("x" * 300, "File name too long")]
)
def test_a_path_that_cannot_be_looked_at_is_named(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert refusal(find_bundle(tmp_path / name)).endswith(f"{name}/manifest.json: {said}")


def test_a_folder_that_may_not_be_entered_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(path: Any, **_: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", deny)  # tests may run as root, whom the file system denies nothing
        assert find_bundle(folder) == folder
    monkeypatch.setattr(Path, "read_bytes", deny)
    assert refusal(folder).endswith("manifest.json: Permission denied")
