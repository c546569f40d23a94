"""The engine of one machine: processes that may end in any way, at any moment."""

import os
import random
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service.bulk import local
from service.bulk.errors import StorageError
from service.bulk.job import Job
from service.bulk.local import run_local
from service.bulk.part import PartCounts
from service.bulk.plan import FACTS, part_name
from service.settings import Settings
from tests.commands import SERVICE, run
from tests.service.bulk.runs import bulk, draw, files, rows
from tests.waiting import until

PARTS = 150


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("archive"), PARTS)


def command(out: Path, model: Path, *more: object) -> list[str]:
    given = ["bulk", "--out", out, "--part-size", 1, "--workers", 1, "--model", model, "--device", "cpu", *more]
    return [*SERVICE, *map(str, given)]


def killed(words: Sequence[str], out: Path, parts: int, whole_group: bool) -> bool:
    """Run until so many parts are there, then ``kill -9``. Whether the command was still running."""
    process = subprocess.Popen(words, start_new_session=True, stderr=subprocess.PIPE)
    try:
        until(lambda: process.poll() is not None or len(list(out.glob("part-*"))) >= parts)
        if process.poll() is not None:
            return False
        with suppress(ProcessLookupError):
            (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        return process.returncode == -signal.SIGKILL
    finally:
        with suppress(ProcessLookupError):  # workers that the command has left end at their next image
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_killed_at_ten_random_moments_the_table_is_the_same_in_the_end(
    archive: Path, bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out, chance = tmp_path / "whole", tmp_path / "out", random.Random(7)
    assert run([*command(whole, bundle_folder, archive), "--workers", "2"]).returncode == 0
    moments = sorted(chance.sample(range(PARTS), 10))
    kills = [
        killed(command(out, bundle_folder, archive, "--resume"), out, moment, chance.random() < 0.5)
        for moment in moments
    ]
    assert any(kills)
    ended = run(command(out, bundle_folder, archive, "--resume"))
    assert (ended.returncode, ended.stderr.count("\n")) == (0, 1), ended.stderr
    assert files(out) == files(whole)  # with no temporary left


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ended_by_a_signal_it_leaves_nothing_behind(
    archive: Path, bundle_folder: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(command(out, bundle_folder, archive), stderr=subprocess.PIPE, start_new_session=True)
    until((out / part_name(0)).exists)
    os.killpg(process.pid, sent) if sent == signal.SIGINT else process.send_signal(sent)
    _, said = process.communicate()
    if process.returncode == 0:  # it was done
        return
    assert (process.returncode, said) == (130, b"xray-service: interrupted; continue with --resume\n")
    assert {name[:5] for name in files(out)} <= {"part-", "_plan"}


def job(out: Path, model: Path, parts: int = PARTS) -> Job:
    return Job(str(out), Settings(model=model, device="cpu").model_dump(mode="json"), parts, workers=1)


def work_and_die(where: str, fields: Any, connection: Any, place: Any) -> None:
    """A worker whose process is killed when it decodes one image."""
    from service.inference import dicom

    original = dicom.decode

    def decode(data: bytes, *more: Any) -> Any:
        if data == Path(os.environ["DEADLY"]).read_bytes():
            os.kill(os.getpid(), signal.SIGKILL)
        return original(data, *more)

    vars(dicom)["decode"] = decode
    local._work(where, fields, connection, place)


def test_a_worker_that_dies_is_replaced_and_an_image_that_kills_is_left_out(
    bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: None
) -> None:
    folder, out = draw(tmp_path / "in", 6), tmp_path / "out"
    assert bulk(folder, "--out", out, "--part-size", 3, "--model", bundle_folder) == 0
    before = files(out)
    (out / part_name(1)).unlink()
    monkeypatch.setenv("DEADLY", str(folder / "0004.jpg"))
    process = local._SPAWN.Process

    def deadly(target: Any, **options: Any) -> Any:
        return process(target=work_and_die, **options)

    monkeypatch.setattr(local._SPAWN, "Process", deadly)
    done: list[PartCounts] = []
    run_local(job(out, bundle_folder, 1), iter([1]), done.append)
    assert done == [PartCounts(1, 3, {"internal-error": 1})]
    found = rows(out)
    assert [row["problem"] for row in found] == [None, None, None, None, "internal-error", None]
    assert found[4]["detail"] == "the process that analysed the image ended, more than once"
    assert files(out)[part_name(0)] == before[part_name(0)]


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_do_not_start_end_the_run(
    bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = local._SPAWN.Process
    monkeypatch.setattr(local._SPAWN, "Process", lambda target, **options: process(target=die, **options))
    with pytest.raises(StorageError, match="keep exiting before their first part"):
        run_local(job(tmp_path, bundle_folder, 5), iter(range(5)), print)


def test_what_a_worker_cannot_do_ends_the_run_in_one_line(
    archive: Path, bundle_folder: Path, choosy_folder: Path, tmp_path: Path, here: None
) -> None:
    out = tmp_path / "out"
    assert bulk(archive, "--out", out, "--part-size", 100, "--model", bundle_folder) == 0
    (out / part_name(0)).unlink()
    from contract.bundle import BundleError

    with pytest.raises(BundleError, match="another model or machine"):
        run_local(job(out, choosy_folder), iter([0]), print)
    (out / FACTS).unlink()
    with pytest.raises(StorageError, match="there is no plan"):
        run_local(job(out, bundle_folder), iter([0]), print)
