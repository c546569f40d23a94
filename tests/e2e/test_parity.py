"""Parity from file bytes: the probabilities of Keras in the training pipeline and of the service agree within 1e-5."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests import BUNDLED_MODEL
from tests.drawings import chest, encode
from tests.e2e.server import Server, running
from tests.trained import Trained
from training.data.dataset import load_dataset

ATOL = 1e-5


@pytest.fixture(scope="module")
def server(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(trained.bundle, tmp_path_factory.mktemp("parity"), max_batch=16) as server:
        yield server


def write(folder: Path, files: list[bytes]) -> Path:
    """Write a data folder with these files, half in each class."""
    for number, data in enumerate(files):
        path = folder / ("NORMAL", "PNEUMONIA")[number % 2] / f"{number:03}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def drawn_files() -> list[bytes]:
    """Files of several sizes, formats and colour modes."""
    sizes = [(224, 224), (1800, 1300), (2600, 2000), (640, 480)]
    pixels = [chest(seed, *sizes[seed % 4], opacity=seed / 16) for seed in range(16)]
    kinds: list[tuple[str, dict[str, object]]] = [
        ("JPEG", {}),
        ("PNG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"quality": 40}),
    ]
    files = [encode(p, kinds[n % 3][0], **kinds[n % 3][1]) for n, p in enumerate(pixels[:13])]
    colour = np.repeat(pixels[13][..., np.newaxis], 3, 2)
    return [*files, encode(colour), encode(colour, "PNG"), encode(pixels[15].astype(np.uint16) * 257, "PNG")]


def assert_parity(server: Server, trained: Trained, files: list[bytes], folder: Path) -> None:
    data = load_dataset(write(folder / "data", files), folder / "cache")
    assert not data.skipped
    by_name = {radiograph.path.name: row for row, radiograph in enumerate(data.radiographs)}
    pixels = data.pixels[[by_name[f"{number:03}"] for number in range(len(files))]]
    keras = trained.probability(pixels)
    assert np.ptp(keras) > 0.01  # a constant would agree with anything
    with server.client() as client:
        for size in (1, 2, 16):
            served = []
            for start in range(0, len(files), size):
                sent = [("file", (f"{n}", data)) for n, data in enumerate(files[start : start + size])]
                served += [entry["probability"] for entry in client.post("/predict", files=sent).json()["predictions"]]
            assert np.abs(np.array(served) - keras).max() <= ATOL


def test_drawn_files(server: Server, trained: Trained, tmp_path: Path) -> None:
    assert_parity(server, trained, drawn_files(), tmp_path)


def test_real_files(server: Server, trained: Trained, tmp_path: Path, real_data: Path) -> None:
    originals = sorted((real_data / "originals").glob("*/*"))[::20]
    copies = sorted((real_data / "chest_xray").glob("train/*/*"))[::400]
    assert_parity(server, trained, [path.read_bytes() for path in (*originals, *copies)], tmp_path)


def test_the_bundled_model_knows_real_radiographs(real_data: Path, bundled_server: Server) -> None:
    """Not a measurement, because it was trained on most of these; it detects a wrong model or wrong pixels."""
    assert BUNDLED_MODEL.exists()
    right = []
    with bundled_server.client() as client:
        for path in sorted((real_data / "originals").glob("*/*"))[::8]:
            answer = client.post("/predict", content=path.read_bytes(), headers={"Content-Type": "image/jpeg"}).json()
            right.append(answer["predictions"][0]["label"] == path.parent.name)
    assert len(right) >= 30
    assert np.mean(right) >= 0.9
