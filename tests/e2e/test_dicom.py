"""DICOM from the command line: the same results with the model here and with a service elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from service.__main__ import main
from tests.dicom_objects import drawn
from tests.drawings import png
from tests.e2e.server import Server, running

PATIENT = "Mueller_Anna_1990"


@pytest.fixture(scope="module")
def server(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(bundle_folder, tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / f"{PATIENT}.dcm").write_bytes(drawn())
    (folder / "other.dicom").write_bytes(drawn(SOPInstanceUID="2.25.2001"))
    (folder / "picture.png").write_bytes(png())
    return folder


def test_reports_and_heatmaps_are_written(
    server: Server, bundle_folder: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = {}
    for name, where in {"there": ["--url", server.url], "here": ["--model", str(bundle_folder)]}.items():
        folders = {kind: tmp_path / name / kind for kind in ("sr", "heatmap")}
        options = [option for kind, folder in folders.items() for option in (f"--{kind}", str(folder))]
        assert main(["predict", "--format", "csv", str(images), *where, *options]) == 0
        assert "1 files are not DICOM files" in capsys.readouterr().err
        written[name] = {kind: sorted(path.name for path in folder.iterdir()) for kind, folder in folders.items()}
        for kind, modality in (("sr", "SR"), ("heatmap", "OT")):
            for path in folders[kind].iterdir():
                about = pydicom.dcmread(path)
                assert (about.Modality, f"{about.SOPInstanceUID}.dcm") == (modality, path.name)
    assert written["there"] == written["here"]
    assert [len(names) for names in written["here"].values()] == [2, 2]


def test_an_object_that_is_refused_has_none(
    bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ct.dcm").write_bytes(drawn(Modality="CT"))
    command = ["predict", "--json", str(tmp_path / "ct.dcm"), "--model", str(bundle_folder)]
    assert main([*command, "--sr", str(tmp_path / "sr")]) == 1
    assert "unsupported-modality" in capsys.readouterr().out
    assert not (tmp_path / "sr").exists()


def test_a_folder_that_cannot_be_written_is_reported(
    bundle_folder: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    command = ["predict", "--format", "csv", str(images), "--model", str(bundle_folder)]
    assert main([*command, "--sr", str(tmp_path / "file" / "sr")]) == 1
    assert "cannot write the results" in capsys.readouterr().err
