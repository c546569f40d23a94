"""Fixtures of the training tests."""

from pathlib import Path

import keras
import pytest

from tests.datasets import write_data_folder
from training.data.dataset import Dataset, load_dataset


@pytest.fixture(autouse=True)
def _seeded_networks() -> None:
    keras.utils.set_random_seed(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder of 24 patients with 48 drawn radiographs."""
    return write_data_folder(tmp_path / "data")


@pytest.fixture
def data(folder: Path, tmp_path: Path) -> Dataset:
    """The data folder, loaded."""
    return load_dataset(folder, tmp_path / "cache")
