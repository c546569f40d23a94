"""Splits: no patient, and no image under two names, is in two parts."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.bundle import sha256
from training.data.dataset import Dataset, load_dataset
from training.data.folder import Radiograph
from training.data.split import Split, patient_groups, split_dataset
from training.errors import DataError


def dataset(rows: list[tuple[int, int, int]], part: str | None = None) -> Dataset:
    """Rows of (label, patient, picture)."""
    radiographs = [
        Radiograph(f"{n}.jpeg", Path(), label % 2, f"{label % 2}-{patient}", part)  # type: ignore[arg-type]
        for n, (label, patient, _) in enumerate(rows)
    ]
    digests = [sha256(f"{label % 2} {picture}".encode()) for label, _, picture in rows]
    return Dataset(radiographs, np.zeros((len(rows), 1, 1, 1), np.uint8), digests, Counter(), [])


def parts(split: Split) -> list[set[str]]:
    return [set(split.train), set(split.validation), set(split.test)]


# Twelve patients per class, so that ten folds are possible, and any number of further images.
MANY = [(label, patient, 100 * label + patient) for label in (0, 1) for patient in range(12)]
FURTHER = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 40), st.integers(300, 340)), max_size=60)


@settings(max_examples=50)
@given(FURTHER, st.integers(0, 5))
def test_no_patient_and_no_picture_is_in_two_parts(further: list[tuple[int, int, int]], seed: int) -> None:
    data = dataset(MANY + further)
    try:
        split = split_dataset(data, "patient", folds=3, seed=seed)
    except DataError:
        assert min(len(set(patient_groups(data)[data.labels == label])) for label in (0, 1)) < 3
        return
    names_by_part = parts(split)
    assert sum(map(len, names_by_part)) == len(set().union(*names_by_part)) == len(data.radiographs)
    by_name = {r.name: (r.patient, digest) for r, digest in zip(data.radiographs, data.digests, strict=True)}
    for key in (0, 1):
        values = [{by_name[name][key] for name in names} for names in names_by_part]
        assert len(set().union(*values)) == sum(map(len, values))


def test_a_picture_under_two_names_joins_its_patients() -> None:
    groups = patient_groups(dataset([(0, 1, 7), (0, 2, 7), (0, 2, 8), (0, 3, 9)]))
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_parts_hold_both_classes_in_proportion(data: Dataset) -> None:
    split = split_dataset(data, "patient", folds=4, seed=1)
    for names, size in ((split.validation, 12), (split.test, 12), (split.train, 24)):
        assert len(names) == size
        assert data.rows(names).labels.mean() == 0.5


def test_the_seed_determines_the_split(data: Dataset) -> None:
    one, same, other = (split_dataset(data, "patient", folds=4, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert parts(one) != parts(other)


def test_a_random_split_holds_no_patient_out(data: Dataset) -> None:
    split = split_dataset(data, "random", folds=10, seed=1)
    assert (len(split.train), len(split.validation), len(split.test)) == (43, 5, 0)  # one in ten, rounded up
    patients = [{r.patient for r in data.rows(names).radiographs} for names in (split.train, split.validation)]
    assert patients[0] & patients[1]


def test_an_official_test_part_is_never_trained_on(folder: Path, tmp_path: Path) -> None:
    download = tmp_path / "download"
    download.mkdir()
    folder.rename(download / "train")
    for label in ("NORMAL", "PNEUMONIA"):
        (download / "test" / label).mkdir(parents=True)
        moved = sorted((download / "train" / label).iterdir())[0]  # its patient has another image in train
        moved.rename(download / "test" / label / moved.name)
    data = load_dataset(download, tmp_path / "cache")
    split = split_dataset(data, "patient", folds=4, seed=1)
    assert {name for name in split.test if name.startswith("test/")} == {
        r.name for r in data.radiographs if r.part == "test"
    }
    assert len(split.test) == 4  # with the other images of those two patients
    assert not any(name.startswith("test/") for name in (*split.train, *split.validation))


def of_two_populations(rows: list[tuple[int, int, int]], children: int) -> Dataset:
    """A dataset whose first rows are of children, and the others of adults."""
    data = dataset(rows)
    for row, radiograph in enumerate(data.radiographs):
        name = "child" if row < children else "adult"
        data.radiographs[row] = replace(radiograph, population=name, patient=f"{name}/{radiograph.patient}")
    return data


ADULTS = [(label, patient, 500 + picture) for label, patient, picture in MANY]


def test_an_official_test_part_is_that_of_its_population_alone() -> None:
    data = of_two_populations(MANY + ADULTS, len(MANY))
    official = [row for row in range(len(MANY)) if row % 12 < 3]
    for row in official:
        data.radiographs[row] = replace(data.radiographs[row], part="test")
    test = data.rows(split_dataset(data, "patient", folds=3, seed=1).test)
    children = [row.name for row in test.radiographs if row.population == "child"]
    assert children == [data.radiographs[row].name for row in official]
    assert len(test.radiographs) - len(children) == 8


@settings(max_examples=30)
@given(FURTHER, st.integers(0, 5))
def test_a_picture_in_two_populations_is_in_one_part(shared: list[tuple[int, int, int]], seed: int) -> None:
    both = [(label, 100 + patient, picture) for label, patient, picture in shared]
    data = of_two_populations(MANY + both + ADULTS + both, len(MANY + both))
    try:
        split = split_dataset(data, "patient", folds=3, seed=seed)
    except DataError:
        return
    digests = [set(data.rows(names).digests) for names in (split.train, split.validation, split.test)]
    assert sum(map(len, digests)) == len(set().union(*digests))


def test_too_few_patients_are_refused(data: Dataset) -> None:
    with pytest.raises(DataError, match="one class has 12"):
        split_dataset(data, "patient", folds=13, seed=1)
