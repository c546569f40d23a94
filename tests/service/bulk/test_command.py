"""The command ``bulk``: exit codes, one line for each error, progress."""

import errno
import os
import re
from pathlib import Path

import pytest

from service.bulk import command
from service.bulk.errors import StorageError
from service.bulk.part import PartCounts
from service.bulk.plan import part_name, read_plan
from service.bulk.progress import RunProgress
from service.bulk.store import open_store
from tests.disks import enlarge, small_disk
from tests.drawings import png
from tests.service.bulk.runs import bulk, draw, files, rows, success


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return draw(tmp_path / "in", 6)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said.removeprefix("xray-service: ").rstrip("\n")


def test_a_run_without_a_fault_ends_with_0(
    archive: Path, tmp_path: Path, bundle_folder: Path, here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bulk(archive, "--out", tmp_path / "new" / "out", "--part-size", 4, "--model", bundle_folder) == 0
    assert re.fullmatch(r"part 2 of 2, 6 of 6 images, [\d.]+ images/s, 0 errors", one_line(capsys))
    assert success(tmp_path / "new" / "out")["errors"] == {}
    again = files(tmp_path / "new" / "out")
    assert bulk("--out", tmp_path / "new" / "out", "--resume", "--model", bundle_folder) == 0
    assert files(tmp_path / "new" / "out") == again


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "name at least one SOURCE"),
        (["{in}", "--address", "127.0.0.1:1"], "--address is for --engine ray"),
        (["{in}", "--part-size", "100001"], "--part-size: at most 100000"),
        (["{in}/none"], "SOURCE {in}/none: there is no such file or folder"),
        (["--resume"], "--resume: there is no plan in {out}: name its SOURCE"),
        (["{in}", "--out", "{in}/0000.jpg/x"], "--out: {in}/0000.jpg/x cannot be made: Not a directory"),
        (["{in}", "--out", "s3://"], "--out: name a bucket and a prefix: s3://bucket/prefix"),
        (["{in}", "--operating-point", "x"], "XRAY_OPERATING_POINT: there is no 'x'; the operating points of this"),
        (["s3://bucket/x"], "s3:// needs the address of the store in AWS_ENDPOINT_URL, such as https://"),
        (["{in}", "--out", "s3://bucket/x"], "s3:// needs the address of the store in AWS_ENDPOINT_URL, such as"),
    ],
)
def test_wrong_usage_is_said_in_one_line(
    *,
    archive: Path,
    tmp_path: Path,
    bundle_folder: Path,
    here: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    places = {"in": archive, "out": tmp_path / "out"}
    given = [option.format(**places) for option in options]
    assert bulk("--out", places["out"], "--model", bundle_folder, *given) == 2
    assert one_line(capsys).startswith(said.format(**places))
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("options", [["--part-size", "0"], ["--workers", "x"], ["--engine", "spark"]])
def test_what_is_no_number_or_engine_is_wrong_usage(tmp_path: Path, options: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bulk("in", "--out", tmp_path, *options)
    assert ended.value.code == 2


def test_a_broken_bundle_ends_before_there_is_a_plan(
    archive: Path, tmp_path: Path, here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bulk(archive, "--out", tmp_path / "out", "--model", tmp_path) == 1
    assert "manifest.json" in one_line(capsys)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing_half_written_and_the_run_goes_on_later(
    *,
    archive: Path,
    tmp_path: Path,
    bundle_folder: Path,
    here: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 8:  # each file is one, and its folder another: the plan, its JSON, a part, half of the next
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert bulk(archive, "--out", out, "--part-size", 1, "--model", bundle_folder) == 1
    assert one_line(capsys) == f"{part_name(2)}: No space left on device; continue with --resume"
    assert sorted(files(out)) == ["_plan.json", "_plan.parquet", part_name(0), part_name(1)]
    assert bulk("--out", out, "--resume", "--model", bundle_folder) == 0
    assert len(rows(out)) == 6


def test_on_a_disk_that_is_really_full_every_part_is_whole_or_not_there(
    archive: Path, tmp_path: Path, bundle_folder: Path, here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "disk" / "out"
    with small_disk(tmp_path / "disk", "48k"):
        assert bulk(archive, "--out", out, "--part-size", 1, "--model", bundle_folder) == 1
        assert re.fullmatch(r"part-00000\d.parquet: No space left on device; continue with --resume", one_line(capsys))
        done = [name for name in files(out) if name.startswith("part-")]
        assert 0 < len(done) < 6
        assert len(rows(out)) == len(done)
        enlarge(tmp_path / "disk", "1m")
        assert bulk("--out", out, "--resume", "--model", bundle_folder) == 0
        assert len(rows(out)) == 6


def test_a_folder_that_goes_meanwhile_ends_the_run(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "gone"))
    with pytest.raises(StorageError, match=r"part: the folder or bucket of --out has gone"):
        store.put("part", b"content")


def test_a_source_that_fails_while_it_is_listed_leaves_no_plan(
    archive: Path, tmp_path: Path, bundle_folder: Path, here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.csv").write_bytes(b"uri\n" + b"x.jpg\n" * 70_000 + b"\xff\n")
    assert bulk(archive, tmp_path / "list.csv", "--out", tmp_path / "out", "--model", bundle_folder) == 2
    assert "it is not a CSV file in UTF-8" in one_line(capsys)
    assert files(tmp_path / "out") == {}
    assert read_plan(open_store(str(tmp_path / "out"))) is None


@pytest.mark.parametrize("content", [b"{}", b"no JSON", b'{"format": 2}', b'{"format": 1, "parts": 3}'])
def test_a_plan_that_cannot_be_read_is_wrong_usage(
    archive: Path, tmp_path: Path, bundle_folder: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "_plan.json").write_bytes(content)
    assert bulk(archive, "--out", tmp_path, "--resume", "--model", bundle_folder) == 2
    assert one_line(capsys).startswith("--out: _plan.json ")


def test_files_left_out_are_counted_and_not_named(
    archive: Path, tmp_path: Path, bundle_folder: Path, here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (archive / "Smith.txt").write_text("")
    (archive / "Smith.jpg").write_bytes(b"bad")
    bulk(archive, "--out", tmp_path / "out", "--model", bundle_folder)
    said = capsys.readouterr()
    assert said.err.startswith("xray-service: 1 files left out, whose names do not end in .jpg, ")
    assert said.err.endswith(" 1 errors: 1 unsupported-media-type\n")
    assert "Smith" not in said.err + said.out


def test_progress_is_a_line_now_and_then(
    archive: Path, tmp_path: Path, bundle_folder: Path, here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    bulk(archive, "--out", tmp_path / "out", "--part-size", 1, "--model", bundle_folder)
    capsys.readouterr()
    plan, now = read_plan(open_store(str(tmp_path / "out"))), [0.0]
    assert plan
    with RunProgress(plan, [PartCounts(5, 1, {"empty-file": 1})], clock=lambda: now[0]) as progress:
        for number in range(4):
            now[0] += 16
            progress.done(PartCounts(number, 1, {}))
    assert capsys.readouterr().err == (
        "xray-service: part 3 of 6, 3 of 6 images, 0.1 images/s, 1 min left, 1 errors\n"
        "xray-service: part 5 of 6, 5 of 6 images, 0.1 images/s, 1 min left, 1 errors\n"
    )


def test_the_setting_of_the_service_s_workers_is_not_taken_for_those_of_a_run(
    archive: Path, tmp_path: Path, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = []
    monkeypatch.setenv("XRAY_WORKERS", "3")
    monkeypatch.setattr(command, "_engine", lambda name: lambda job, numbers, done: jobs.append(job))
    (archive / "7.png").write_bytes(png())
    for options in ([], ["--workers", "65"]):
        bulk(archive, "--out", tmp_path / str(len(jobs)), "--model", bundle_folder, *options)
    assert [job.workers for job in jobs] == [None, 65]
