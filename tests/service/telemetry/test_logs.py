"""Log lines: nothing waits for the process that reads stderr."""

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.telemetry import logs
from service.telemetry.logs import QueuedLines, configure_logging
from service.telemetry.metrics import Metrics
from tests.waiting import DEADLINE_S, until

MAX_QUEUED = 50
COUNT = 2000  # of 100 bytes: more than a pipe and the queue hold


def in_time(action: Callable[[], object]) -> bool:
    """Whether an action ends; in a thread, so that one that does not fails the test instead of stopping it."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    return not thread.is_alive()


class Pipe:
    """A pipe as stderr, and a logger that writes to it."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.lines = QueuedLines(logging.Formatter("%(message)s"), self.writer, MAX_QUEUED)
        self.log = logging.Logger("piped")
        self.log.addHandler(self.lines)

    def log_many(self) -> None:
        for number in range(COUNT):
            self.log.error("line %d %s", number, "x" * 100)

    def read_line(self) -> str:
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(self.reader, 1)
        return line.decode().rstrip()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    for descriptor in (made.reader, made.writer):
        os.close(descriptor)


def test_a_pipe_that_nobody_reads_stops_nobody_and_the_dropped_lines_are_reported_later(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_REPORT_INTERVAL_S", 1000.0)  # one report, however slow the machine
    assert in_time(pipe.log_many)
    dropped = pipe.lines.dropped
    assert 0 < dropped <= COUNT - MAX_QUEUED  # all but the queue's, if the writer thread has not had its turn yet
    read = [pipe.read_line() for _ in range(COUNT - dropped + 1)]
    reports = [line for line in read if not line.startswith("line ")]
    assert reports == ["log lines were dropped: stderr was not read"]
    assert [line.split()[1] for line in read if line not in reports][:3] == ["0", "1", "2"]
    pipe.log.error("line again")
    assert pipe.read_line() == "line again"


def test_a_report_says_how_many_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "log").open("w") as file:
        monkeypatch.setattr("sys.stderr", file)
        configure_logging("info")
        [lines] = logging.getLogger().handlers
        assert isinstance(lines, QueuedLines)
        lines.drop()
        logging.getLogger("any").info("one")
        logs.close_logging()
    one, report = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert (one["message"], one["logger"], one["level"]) == ("one", "any", "INFO")
    assert (report["level"], report["dropped"]) == ("ERROR", 1)
    assert report["time"] >= one["time"]


def test_the_end_of_the_process_does_not_wait_for_a_reader(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "CLOSE_TIMEOUT_S", 0.0)
    pipe.log_many()
    assert in_time(pipe.lines.close)
    assert in_time(logging.shutdown)


def test_lines_can_be_waited_for_and_more_be_logged(pipe: Pipe) -> None:
    for number in range(3):
        pipe.log.error("%d", number)
        pipe.lines.drain(DEADLINE_S)
        assert os.read(pipe.reader, 100).decode() == f"{number}\n"


def test_a_pipe_that_nobody_reads_is_not_waited_for(pipe: Pipe) -> None:
    pipe.log_many()
    assert in_time(lambda: pipe.lines.drain(0.0))


def test_what_is_queued_at_the_end_is_written(pipe: Pipe) -> None:
    for number in range(MAX_QUEUED):
        pipe.log.error("%d", number)
    pipe.lines.close()
    assert [pipe.read_line() for _ in range(MAX_QUEUED)] == [str(number) for number in range(MAX_QUEUED)]
    assert pipe.lines.dropped == 0


def test_a_pipe_without_a_reader_costs_lines_only() -> None:
    pipe = Pipe()
    os.close(pipe.reader)
    pipe.log.error("lost")
    until(lambda: pipe.lines.dropped == 1)
    pipe.lines.close()
    os.close(pipe.writer)


def test_a_record_that_cannot_be_formatted_is_counted(pipe: Pipe) -> None:
    pipe.log.error("%d", "no number")
    assert pipe.lines.dropped == 1


def test_dropped_lines_are_a_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "log").open("w") as file:
        monkeypatch.setattr("sys.stderr", file)
        configure_logging("info")
        assert b"xray_log_lines_dropped_total 0.0" in Metrics().text()
        [lines] = logging.getLogger().handlers
        assert isinstance(lines, QueuedLines)
        lines.drop()
        assert b"xray_log_lines_dropped_total 1.0" in Metrics().text()
        logs.close_logging()


def test_records_and_lines_keep_their_order_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "log").open("w") as file:
        monkeypatch.setattr("sys.stderr", file)
        configure_logging("info")
        log, before = logging.getLogger("any"), datetime.now(UTC)
        log.info("request", extra={"status": 200})
        logged = datetime.now(UTC)
        log.info("line %d", 2)
        log.info("request", extra={"status": 503})
        logs.drain_logging()
        logs.close_logging()
    first, second, third = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert [first["status"], second["message"], third["status"]] == [200, "line 2", 503]
    assert before <= datetime.fromisoformat(first["time"]) <= logged


def test_a_record_that_no_line_can_be_made_of_is_counted_and_the_next_is_written(pipe: Pipe) -> None:
    class Broken(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            if record.msg == "broken":
                raise ValueError
            return super().format(record)

    pipe.lines.setFormatter(Broken("%(message)s"))
    pipe.log.info("broken")
    pipe.log.info("whole")
    assert pipe.read_line() == "whole"
    assert pipe.lines.dropped == 1
