"""Data sets as archives: what comes out is what went in, within the limit."""

import tarfile
from pathlib import Path

import pytest

from tests.datasets import write_sources
from training.data.packing import pack
from training.data.sources import find_all
from training.errors import DataError

LIMIT = 100_000


def unpack(parts: list[Path], folder: Path) -> Path:
    for part in reversed(parts):
        with tarfile.open(part) as archive:
            archive.extractall(folder, filter="data")
    return folder


def test_sources_come_out_as_they_went_in(tmp_path: Path) -> None:
    listed = write_sources(tmp_path / "data")
    parts = pack(listed, tmp_path / "packed", LIMIT)
    assert len(parts) > 1
    assert all(part.stat().st_size <= LIMIT for part in parts)
    found = find_all(unpack(parts, tmp_path / "there") / "sources.json")
    expected = find_all(listed)
    assert [row.path.read_bytes() for row in found] == [row.path.read_bytes() for row in expected]
    described = [(row.name, row.patient, row.label, row.population, row.age) for row in found]
    assert described == [(row.name, row.patient, row.label, row.population, row.age) for row in expected]


def test_a_data_folder_comes_out_as_it_went_in(folder: Path, tmp_path: Path) -> None:
    (folder / "NORMAL" / f"{'ü' * 120}.jpeg").write_bytes(b"a name that needs a longer header")
    parts = pack(folder, tmp_path / "packed", LIMIT)
    assert all(part.stat().st_size <= LIMIT for part in parts)
    there = unpack(parts, tmp_path / "there")
    assert [row.name for row in find_all(there)] == [row.name for row in find_all(folder)]


def test_equal_data_give_equal_archives(tmp_path: Path) -> None:
    listed = write_sources(tmp_path / "data")
    first, second = (pack(listed, tmp_path / name, LIMIT) for name in ("first", "second"))
    assert [part.read_bytes() for part in first] == [part.read_bytes() for part in second]


def test_what_cannot_be_packed_is_named(tmp_path: Path) -> None:
    listed = write_sources(tmp_path / "data")
    with pytest.raises(DataError, match="too large for an archive of 13000 bytes"):
        pack(listed, tmp_path / "small", 13_000)
    pack(listed, tmp_path / "packed", LIMIT)
    with pytest.raises(DataError, match="already holds archives"):
        pack(listed, tmp_path / "packed", LIMIT)
    (tmp_path / "data" / "clinic" / "manifest.csv").write_text("file,label\n../ward/NORMAL/0.png,NORMAL\n")
    with pytest.raises(DataError, match="is not in"):
        pack(listed, tmp_path / "outside", LIMIT)
