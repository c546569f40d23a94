"""A data set of several sources: the population of each image, and what is refused."""

from collections import Counter
from pathlib import Path

import pytest

from tests.datasets import write_sources
from training.data.dataset import load_dataset
from training.data.sources import find_all
from training.data.split import patient_groups, split_dataset
from training.errors import DataError


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return write_sources(tmp_path)


def test_each_image_knows_its_source_and_population(listed: Path) -> None:
    found = find_all(listed)
    assert Counter((row.source, row.population) for row in found) == {("ward", "child"): 32, ("clinic", "adult"): 16}
    assert found[0].name == "clinic/NORMAL/0.png"
    assert [row.name for row in found] == sorted(row.name for row in found)


def test_a_manifest_tells_of_patients(listed: Path) -> None:
    found = {row.name: row for row in find_all(listed)}
    row = found["clinic/PNEUMONIA/1.png"]
    assert (row.patient, row.age, row.sex, row.view, row.label) == ("adult/P1", 40, "F", "PA", 1)


def test_an_age_that_is_no_number_is_not_known(listed: Path) -> None:
    manifest = listed.parent / "clinic" / "manifest.csv"
    manifest.write_text("file,age\nNORMAL/1.png,\nPNEUMONIA/1.png,unknown\n")
    assert [row.age for row in find_all(listed) if row.source == "clinic"] == [None, None]


def test_every_part_of_a_split_has_its_share_of_each_population(listed: Path, tmp_path: Path) -> None:
    data = load_dataset(listed, tmp_path / "cache")
    split = split_dataset(data, "patient", folds=4, seed=1)
    for part in (split.train, split.validation, split.test):
        rows = data.rows(part)
        assert {(name, label) for name, label in zip(rows.populations, rows.labels, strict=True)} == {
            ("child", 0),
            ("child", 1),
            ("adult", 0),
            ("adult", 1),
        }
    groups = dict(zip((row.name for row in data.radiographs), patient_groups(data), strict=True))
    assert not {groups[name] for name in split.train} & {groups[name] for name in split.test}
    assert set(data.by_population()) == {"child", "adult"}
    assert data.rows(split.test).people["child"].below_age == 6


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('"ward", "folder"', '"clinic", "folder"', "two sources have one name"),
        ('"population": "child"', '"population": "newborn"', "no population 'newborn'"),
        ('"sources"', '"source"', "sources: it is missing"),
        ('"folder": "clinic"', '"folder": "nowhere"', "no folders NORMAL and PNEUMONIA"),
        ('"child"', '"unknown"', "no population can be called 'unknown'"),
        ('"from_age": 1,', '"from_age": -1,', "populations.child.from_age: it must be 0"),
        ('"from_age": 1,', '"from_age": 6,', "populations.child: below_age must be more than from_age"),
        ('"from_age": 1,', '"from_age": Infinity,', "populations.child.from_age: it must be a finite number"),
    ],
)
def test_a_list_that_does_not_agree_with_itself_is_refused(listed: Path, before: str, after: str, words: str) -> None:
    listed.write_text(listed.read_text().replace(before, after))
    with pytest.raises(DataError, match=words):
        find_all(listed)


def test_images_of_unknown_patients_are_of_one_patient_each(listed: Path) -> None:
    (listed.parent / "clinic" / "manifest.csv").unlink()  # 0.png to 7.png are in NORMAL/ and in PNEUMONIA/
    clinic = [row for row in find_all(listed) if row.source == "clinic"]
    assert len({row.patient for row in clinic}) == len(clinic) == 16
    assert clinic[0].patient == "adult/clinic/NORMAL/0.png"


@pytest.mark.parametrize(
    ("text", "words"),
    [("name\nx\n", "no column 'file'"), ("file\nCATS/1.png\n", "CATS/1.png has no label, and is in no folder NORMAL")],
)
def test_a_manifest_that_says_too_little_is_refused(listed: Path, text: str, words: str) -> None:
    (listed.parent / "clinic" / "manifest.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        find_all(listed)
