"""Runs of ``bulk`` for tests: drawn images, the command line, and an engine without processes."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from service.__main__ import main
from service.bulk.job import Job
from service.bulk.part import PartCounts, PartWorker
from tests.drawings import chest, encode


def draw(folder: Path, count: int, side: int = 64) -> Path:
    """A folder of drawn radiographs, small JPEGs."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:04d}.jpg").write_bytes(encode(chest(number, side, side)))
    return folder


def run_here(job: Job, numbers: Iterable[int], on_done: Callable[[PartCounts], object]) -> None:
    """An engine in this process, for what does not depend on processes."""
    worker = PartWorker(job.where, job.fields)
    try:
        for number in numbers:
            on_done(worker.do(number))
    finally:
        worker.close()


def bulk(*arguments: object) -> int:
    """Run the command in this process; gives its exit code."""
    return main(["bulk", *map(str, arguments)])


def files(out: Path) -> dict[str, bytes]:
    """All that a run has left, by name."""
    return {path.name: path.read_bytes() for path in out.iterdir()}


def table(out: Path) -> pyarrow.Table:
    """The rows of a run."""
    return pyarrow.concat_tables([parquet.read_table(path) for path in sorted(out.glob("part-*.parquet"))])


def rows(out: Path) -> list[dict[str, Any]]:
    """The rows of a run, each as a dictionary."""
    found: list[dict[str, Any]] = table(out).to_pylist()
    return found


def success(out: Path) -> dict[str, Any]:
    """What the run says of itself at its end."""
    found: dict[str, Any] = json.loads((out / "_SUCCESS.json").read_text())
    return found
