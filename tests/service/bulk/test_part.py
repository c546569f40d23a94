"""The rows of a part: what each says of its image, whatever is wrong with it."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from numpy.typing import NDArray

from contract.bundle import Bundle
from service.bulk import part
from service.bulk.rows import IDS, schema_of
from service.inference.backend import OnnxBackend, Outputs
from service.inference.loading.graphs import open_backend
from service.settings import Settings
from tests import ROOT
from tests.bundles import GUARD, brightness_graph, write_brightness_bundle
from tests.dicom_objects import SECONDARY_CAPTURE, drawn, grey16, objects_folder
from tests.drawings import chest, encode, jpeg, png
from tests.service.bulk.runs import bulk, draw, rows, table

pytestmark = pytest.mark.usefixtures("here")


def run(tmp_path: Path, files: dict[str, bytes], *options: object, model: Path) -> list[dict[str, Any]]:
    """The rows of a run over these files, in their order."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    bulk(folder, "--out", tmp_path / "out", "--model", model, *options)
    found = rows(tmp_path / "out")
    assert [row["file"] for row in found] == [str(folder / name) for name in sorted(files)]
    return found


def test_every_bad_image_is_a_row_and_its_neighbours_have_their_results(tmp_path: Path, bundle_folder: Path) -> None:
    files = {
        "0.jpg": jpeg(0),
        "1.jpg": jpeg(1)[:1000],
        "2.jpg": b"no image at all",
        "3.jpg": b"",
        "4.png": png(4),
        "5.png": encode(np.zeros((9, 9), np.uint8), "PNG"),
        "6.jpg": jpeg(6) + bytes(100_000),
        "7.png": encode(chest(7, 300, 40), "PNG"),
        "8.jpg": jpeg(8),
    }
    found = run(tmp_path, files, "--max-body-bytes", "90000", model=bundle_folder)
    problems = [None, "truncated-image", "unsupported-media-type", "empty-file", None]
    problems += ["image-too-small", "body-too-large", "aspect-ratio", None]
    assert [row["problem"] for row in found] == problems
    for row in found:
        assert (row["label"] is None) == (row["probability"] is None) == (row["problem"] is not None)
        assert bool(row["detail"]) == (row["problem"] is not None)
        assert (row["sha256"] is None) == (row["problem"] in {"empty-file", "body-too-large"})


def test_an_image_that_takes_too_much_memory_is_a_row(tmp_path: Path, bundle_folder: Path) -> None:
    files = {"0.jpg": jpeg(0), "1.png": encode(np.zeros((5000, 6000), np.uint8), "PNG")}
    found = run(tmp_path, files, "--max-decoded-bytes", 64 * 2**20, model=bundle_folder)
    assert [row["problem"] for row in found] == [None, "too-many-pixels"]
    assert "XRAY_MAX_DECODED_BYTES" in found[1]["detail"]


@pytest.mark.parametrize("mode", ["warn", "refuse", "off"])
def test_the_guard_does_as_the_plan_says(tmp_path: Path, mode: str) -> None:
    model = write_brightness_bundle(tmp_path / "model", brightness_graph(features=2), input_guard=GUARD)
    files = {"black.png": encode(np.zeros((64, 64), np.uint8), "PNG"), "drawn.png": png(0)}
    black, other = run(tmp_path, files, "--guard", mode, model=model)
    assert black["problem"] == ("unlike-training-data" if mode == "refuse" else None)
    assert black["warnings"] == (["unlike_training_data"] if mode == "warn" else [])
    assert black["guard_score"] is None  # not a number
    assert (other["guard_score"] is None) == (mode == "off")


class _Fails(OnnxBackend):
    """A model that fails on any batch with a white image, and whose probability of a black one is none."""

    def predict(self, batch: NDArray[np.uint8], *, explain: bool = False, alone: bool = False) -> Outputs:
        assert len(batch) == 4
        if (batch.min(axis=(1, 2, 3)) == 255).any():
            raise RuntimeError("white")
        return super().predict(batch, explain=explain, alone=alone)


def test_where_the_model_fails_on_a_batch_its_images_are_tried_one_by_one(
    tmp_path: Path, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(settings: Settings, bundle: Bundle) -> OnnxBackend:
        backend = open_backend(settings, bundle)
        return _Fails(bundle, backend._live)

    monkeypatch.setattr(part, "open_backend", failing)
    white = encode(np.full((64, 64), 255, np.uint8), "PNG")
    files = {"0.png": png(0), "1.png": white, "2.png": png(2), "3.png": b"no image", "4.png": png(4)}
    with caplog.at_level(logging.ERROR):
        found = run(tmp_path, files, model=bundle_folder)
    assert [row["problem"] for row in found] == [None, "model-fault", None, "unsupported-media-type", None]
    assert ".png" not in caplog.text


def test_no_file_name_is_logged_where_the_code_itself_fails(
    tmp_path: Path, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("service.inference.dicom.image.decode", fail)
    monkeypatch.setattr("service.inference.dicom.image.decode", lambda *_, **__: fail())
    with caplog.at_level(logging.DEBUG):
        (row,) = run(tmp_path, {"Smith.jpg": jpeg()}, model=bundle_folder)
    assert row["problem"] == "internal-error"
    assert "Smith" not in caplog.text


def test_dicom_objects_say_what_they_are_and_not_whose(tmp_path: Path, bundle_folder: Path) -> None:
    files = {
        "0.dcm": drawn(chest(0), PatientID="P-77", AccessionNumber="A-5"),
        "1.dcm": drawn(grey16(1), ViewPosition="LL", SOPInstanceUID="2.25.7"),
        "2.dcm": drawn(chest(2), SOPClassUID=SECONDARY_CAPTURE, Modality="OT"),
        "3.dcm": drawn(chest(3))[:600],
        "4.png": png(),
    }
    found = run(tmp_path, files, model=bundle_folder)
    told = [(row["problem"], row["modality"], row["view"], row["sop_instance_uid"]) for row in found]
    assert told[0] == (None, "CR", "AP", "2.25.1001")
    assert told[1] == (None, "CR", "LL", "2.25.7")
    assert "lateral_view" in found[1]["warnings"]
    assert told[2][:3] == ("unsupported-modality", "OT", "AP")
    assert told[3][0] == "truncated-image"
    assert told[4] == (None, None, None, None)
    content = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert not any(word in content or word in str(found).encode() for word in (b"P-77", b"A-5", b"Drawn^Nobody"))


def test_whose_they_are_is_kept_only_if_it_is_asked_for(tmp_path: Path, bundle_folder: Path) -> None:
    files = {"0.dcm": drawn(chest(0), PatientID="P-77", AccessionNumber="A-5"), "1.png": png()}
    first, second = run(tmp_path, files, "--keep-ids", model=bundle_folder)
    assert [first[name] for name in IDS] == ["P-77", "A-5", "2.25.1002"]
    assert [second[name] for name in IDS] == [None, None, None]
    assert "Nobody" not in str(first)


def test_a_lateral_view_is_refused_where_the_setting_says_so(
    tmp_path: Path, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XRAY_DICOM_CHECKS", "refuse")
    (row,) = run(tmp_path, {"0.dcm": drawn(grey16(1), ViewPosition="LL")}, model=bundle_folder)
    assert row["problem"] == "unsupported-view"


def test_real_objects_have_the_results_that_predict_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the folder of DICOM objects, where there is one: those that can be read and those that cannot."""
    import json

    from service.__main__ import main

    folder = objects_folder()
    bulk(folder, "--out", tmp_path / "out")
    capsys.readouterr()
    main(["predict", "--format", "jsonl", str(folder)])
    answers = [json.loads(line)["predictions"][0] for line in capsys.readouterr().out.splitlines()]
    by_file = {entry["filename"]: entry for entry in answers}
    for row in rows(tmp_path / "out"):
        entry = by_file[row["file"]]
        assert row["problem"] == (entry["error"] and entry["error"]["type"].rpartition("/")[2])
        assert row["label"] == entry["label"]
        # Batches differ by 1.2e-7 before a population's calibration, whose greatest slope is 5.7.
        assert row["probability"] == pytest.approx(entry["probability"], abs=7e-7)


def test_the_types_are_those_of_the_documentation(tmp_path: Path, bundle_folder: Path) -> None:
    bulk(draw(tmp_path / "in", 2), "--out", tmp_path / "out", "--keep-ids", "--model", bundle_folder)
    schema = table(tmp_path / "out").schema
    documented = re.findall(r"^\| `(\w+)` \| ([\w<>]+)(?:, never null)? \|", (ROOT / "docs/bulk.md").read_text(), re.M)
    assert documented == [(field.name, _type(field.type)) for field in schema]
    assert schema.metadata[b"xray.plan"]


def _type(kind: pyarrow.DataType) -> str:
    return "list<string>" if pyarrow.types.is_list(kind) else str(kind)


def test_the_schema_has_no_identifier_unless_it_is_asked_for() -> None:
    class Plan:
        keep_ids = False

    names: Sequence[str] = schema_of(Plan()).names  # type: ignore[arg-type]
    assert not set(IDS) & set(names)
