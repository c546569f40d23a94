"""Fixtures of the training tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import keras
import pytest

from tests.datasets import write_data_folder
from tests.narrow import narrow_networks
from training.data.dataset import Dataset, load_dataset


@pytest.fixture(autouse=True)
def _seeded_networks() -> None:
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="module")
def narrow() -> Iterator[None]:
    """Networks that are made have few channels."""
    with narrow_networks():
        yield


@pytest.fixture(scope="session")
def drawn_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of 24 patients with 48 drawn radiographs; not to be changed."""
    return write_data_folder(tmp_path_factory.mktemp("drawn") / "data")


@pytest.fixture
def folder(drawn_folder: Path, tmp_path: Path) -> Path:
    """A copy of the data folder."""
    return Path(shutil.copytree(drawn_folder, tmp_path / "data"))


@pytest.fixture(scope="session")
def data(drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The data folder, loaded; its pixels are read-only."""
    loaded = load_dataset(drawn_folder, tmp_path_factory.mktemp("cache"))
    loaded.pixels.setflags(write=False)
    return loaded
