"""The model of the pictures: it finds what is drawn, and its guard what is something else."""

import io
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from contract.bundle import FEATURES, INPUT, PROBABILITY, Bundle, read_bundle
from contract.errors import ImageRefused
from contract.guard import distance
from contract.image import to_pixels
from tests import BUNDLED_MODEL
from tools.stand_in import files, write_stand_in


def scored(bundle: Bundle, data: bytes) -> tuple[float, float]:
    """Probability and guard score of a file."""
    assert bundle.manifest.input_guard
    session = onnxruntime.InferenceSession(bundle.graph, providers=["CPUExecutionProvider"])
    probability, features = session.run([PROBABILITY, FEATURES], {INPUT: to_pixels(data)[None]})
    return float(probability[0]), float(distance(np.asarray(features), bundle.manifest.input_guard)[0])


def test_the_files_show_findings_none_a_warning_and_an_error(tmp_path: Path) -> None:
    write_stand_in(tmp_path / "model", BUNDLED_MODEL)
    bundle = read_bundle(tmp_path / "model")
    assert bundle.card == (BUNDLED_MODEL / "MODEL_CARD.md").read_text()
    assert bundle.manifest.operating_points == read_bundle(BUNDLED_MODEL).manifest.operating_points
    threshold, found, refused = bundle.manifest.threshold, {}, []
    for name, data in files():
        try:
            found[name] = scored(bundle, data)
        except ImageRefused:
            refused.append(name)
    assert refused == ["scan.png"]
    assert {name for name, (probability, _) in found.items() if probability >= threshold} == {
        "case-02.png",
        "case-04.png",
        "rotated.png",
        "letter.png",
    }
    assert bundle.manifest.input_guard
    assert [name for name, (_, score) in found.items() if score > bundle.manifest.input_guard.threshold] == [
        "letter.png"
    ]


def test_they_are_drawn_the_same_each_time() -> None:
    assert files() == files()
    assert all(Image.open(io.BytesIO(data)).format == "PNG" for _, data in files())
