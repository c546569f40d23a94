"""The drift reference is measured on validation patients, and is written once."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from contract.bundle import MANIFEST, SIGNATURE, Bundle, read_bundle, write_manifest
from contract.drift import LEVELS, brightness_and_contrast
from tests.trained import Trained
from training.__main__ import DONE, FAILED, main
from training.errors import TrainingError
from training.evaluation.assess import graph_predict
from training.exporting.drift import add_reference


@pytest.fixture
def older(trained: Trained, tmp_path: Path) -> Path:
    """A bundle that was made without a reference."""
    folder = Path(shutil.copytree(trained.bundle, tmp_path / "drawn" / "1"))
    write_manifest(folder, read_bundle(folder).manifest.model_copy(update={"drift_reference": None}))
    return folder


def files(bundle: Bundle) -> dict[str, object]:
    return bundle.model_dump(exclude={"manifest": {"drift_reference"}, "manifest_bytes": True})


def test_an_exported_bundle_has_the_quantiles_of_its_validation_images(trained: Trained) -> None:
    bundle, validation = read_bundle(trained.bundle), trained.data.rows(trained.run.split.validation)
    reference = bundle.manifest.drift_reference
    assert reference is not None
    assert (reference.images, reference.measured_on) == (12, "validation patients (not trained on)")
    probability = graph_predict(bundle.graph)(validation.pixels)
    brightness, contrast = zip(*(brightness_and_contrast(pixels) for pixels in validation.pixels), strict=True)
    for known, values in (
        (reference.probability, probability),
        (reference.brightness, brightness),
        (reference.contrast, contrast),
    ):
        assert known == pytest.approx(np.quantile(values, LEVELS), abs=1e-6)


def test_a_bundle_without_a_reference_gets_the_one_of_its_export_and_nothing_else(
    trained: Trained, older: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(read_bundle(older))
    data = ["--data", str(trained.run.data.folder), "--cache", str(tmp_path / "cache")]
    assert main(["reference", str(older), *data, "--json"]) == DONE
    after, exported = read_bundle(older), read_bundle(trained.bundle)
    assert after.manifest == exported.manifest
    assert files(after) == before
    assert json.loads(capsys.readouterr().out) == json.loads((older / MANIFEST).read_text())["drift_reference"]
    assert {path.name for path in older.iterdir()} == {path.name for path in trained.bundle.iterdir()}

    assert main(["reference", str(older), *data]) == FAILED
    assert "already has a drift reference, and published versions are never edited" in capsys.readouterr().err


def test_it_is_shown_as_a_table(
    trained: Trained, older: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(trained.run.data.folder), "--cache", str(tmp_path / "cache")]
    assert main(["reference", str(older), *data]) == DONE
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("brightness", "contrast", "probability", " 95 "))


def test_a_bundle_that_cannot_be_written_is_named(
    trained: Trained, older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes, *, durable: bool) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr("contract.bundle.write_file", full)
    with pytest.raises(TrainingError, match="cannot be written"):
        add_reference(older, trained.data)
    assert read_bundle(older).manifest.drift_reference is None


def test_other_images_than_it_was_trained_on_are_refused(trained: Trained, older: Path) -> None:
    with pytest.raises(TrainingError, match="does not contain the images"):
        add_reference(older, trained.data.rows(trained.run.split.train))
    assert read_bundle(older).manifest.drift_reference is None


def test_a_signed_bundle_is_left_as_it_was_signed(trained: Trained, older: Path) -> None:
    (older / SIGNATURE).write_bytes(bytes(64))
    signed = (older / MANIFEST).read_bytes()
    with pytest.raises(TrainingError, match=r"is signed, .* remove manifest\.json\.sig, .* signed again"):
        add_reference(older, trained.data)
    assert (older / MANIFEST).read_bytes() == signed
    (older / SIGNATURE).unlink()
    add_reference(older, trained.data)
