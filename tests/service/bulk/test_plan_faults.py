"""Plans, lists and parts that somebody else has changed, removed or written meanwhile."""

import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from pyarrow import parquet

from service.bulk.errors import StorageError
from service.bulk.job import Job
from service.bulk.part import PartCounts, counts_of
from service.bulk.plan import FACTS, ITEMS, LIST, PlannedItems, part_name, read_plan
from service.bulk.store import open_store
from tests.service.bulk.conftest import PART, work_here
from tests.service.bulk.runs import bulk, draw, files, run_here


def test_a_list_that_is_not_that_of_the_plan_is_never_done(
    whole: Path, bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    (out / part_name(3)).unlink()
    other = parquet.read_table(out / ITEMS)
    for changed in (other.slice(1), other.replace_schema_metadata({LIST: b"0" * 64})):
        parquet.write_table(changed, out / ITEMS)
        assert bulk("--out", out, "--resume", "--model", bundle_folder) == 1
        assert "_plan.parquet is not the list of this plan" in capsys.readouterr().err
    assert not (out / part_name(3)).exists()
    assert not (out / "_SUCCESS.json").exists()


def test_a_list_that_is_damaged_ends_the_run_in_one_line(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    content = bytearray((out / ITEMS).read_bytes())
    content[60] ^= 1
    (out / ITEMS).write_bytes(content)
    plan = read_plan(open_store(str(out)))
    assert plan
    with pytest.raises(StorageError, match=r"_plan.parquet is damaged, or cannot be read"):
        PlannedItems(open_store(str(out)), plan).of(0)


def test_a_list_of_an_older_version_has_no_digest_and_is_read(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    parquet.write_table(parquet.read_table(out / ITEMS).replace_schema_metadata(None), out / ITEMS)
    plan = read_plan(open_store(str(out)))
    assert plan
    assert len(PlannedItems(open_store(str(out)), plan).of(0)) == PART


def test_a_part_with_fewer_rows_than_planned_is_found(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    part = parquet.read_table(out / part_name(1))
    parquet.write_table(part.slice(1), out / part_name(1))
    plan = read_plan(open_store(str(out)))
    assert plan
    with pytest.raises(StorageError, match=r"part-000001.parquet is not of this plan"):
        counts_of(open_store(str(out)), plan, 1)


def test_a_plan_needs_no_temporary_folder_of_the_system(
    archive: Path, whole: Path, bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert bulk(archive, "--out", tmp_path / "out", "--part-size", PART, "--model", bundle_folder) == 1
    assert files(tmp_path / "out") == files(whole)


@pytest.mark.usefixtures("whole")
def test_a_disk_that_is_full_before_there_is_a_plan_is_one_line(
    archive: Path,
    bundle_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object, **__: object) -> object:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert bulk(archive, "--out", tmp_path / "out", "--model", bundle_folder) == 1
    assert "_plan.parquet cannot be prepared in a temporary file: No space left" in capsys.readouterr().err


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_run_that_begins_where_another_is_at_work_is_refused(
    resume: list[str], whole: Path, bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that begins or resumes while the first is planning, or is processing parts."""
    out, archive = tmp_path / "out", draw(tmp_path / "archive", 1)
    with pytest.MonkeyPatch.context() as patch:
        work_here(patch)
        with open_store(str(out)).claimed():
            if resume:
                shutil.copy(whole / FACTS, out / FACTS)
            before = files(out)
            assert bulk(archive, "--out", out, "--model", bundle_folder, *resume) == 2
            assert files(out) == before
    said = f"--out: another run is at work in {out}: process {os.getpid()} on {socket.gethostname()} since 20"
    assert said in capsys.readouterr().err
    assert not (out / ".bulk-lock").exists()


def test_the_lock_of_a_killed_run_does_not_count(archive: Path, bundle_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".bulk-lock").write_text("process 1 on another machine since 2026\n")
    with pytest.MonkeyPatch.context() as patch:
        work_here(patch)
        assert bulk(archive, "--out", out, "--model", bundle_folder) == 1
    assert not (out / ".bulk-lock").exists()


def test_a_plan_that_was_made_meanwhile_is_not_written_over(
    whole: Path, archive: Path, bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    async def another_run(*_: object) -> None:
        shutil.copytree(whole, out)

    with pytest.MonkeyPatch.context() as patch:
        work_here(patch)
        patch.setattr("service.inference.loading.graphs.try_bundle", another_run)
        assert bulk(archive, "--out", out, "--model", bundle_folder) == 2
    assert "holds a run by now" in capsys.readouterr().err
    assert files(out) == files(whole)


def test_a_plan_that_is_replaced_during_the_run_is_found_at_its_end(
    whole: Path, archive: Path, bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    def replace(job: Job, numbers: Iterable[int], on_done: Callable[[PartCounts], object]) -> None:
        run_here(job, numbers, on_done)
        shutil.copy(whole / FACTS, out / FACTS)

    with pytest.MonkeyPatch.context() as patch:
        work_here(patch)
        patch.setattr("service.bulk.command._engine", lambda name: replace)
        assert bulk(archive, "--out", out, "--part-size", 9, "--model", bundle_folder) == 1
    assert "another run has written to --out meanwhile" in capsys.readouterr().err
    assert not (out / "_SUCCESS.json").exists()


def test_another_run_that_cleans_up_costs_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, sync = open_store(str(tmp_path)), os.fsync
    cleaned: list[int] = []

    def clean_up_once(descriptor: int) -> None:
        if not cleaned:
            cleaned.append(descriptor)
            with open_store(str(tmp_path)).claimed():
                pass
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", clean_up_once)
    store.put(part_name(0), b"rows")
    assert cleaned
    assert files(tmp_path) == {part_name(0): b"rows"}


def test_a_run_whose_parts_were_removed_is_not_complete_until_it_is_again(
    whole: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    (out / part_name(2)).unlink()

    def fail(job: Job, numbers: Iterable[int], on_done: Callable[[PartCounts], object]) -> None:
        assert not (out / "_SUCCESS.json").exists()
        raise StorageError("the disk is full")

    with pytest.MonkeyPatch.context() as patch:
        work_here(patch)
        patch.setattr("service.bulk.command._engine", lambda name: fail)
        assert bulk("--out", out, "--resume", "--model", bundle_folder) == 1
    assert not (out / "_SUCCESS.json").exists()
