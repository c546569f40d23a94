"""What the node makes of each answer of the service."""

import asyncio
import errno
import sqlite3
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from node.analysis import Analyser
from node.config import Config, ConfigError
from node.monitor import Metrics
from node.pauses import LONGEST_PAUSE_S
from node.storage.ledger import Ledger
from node.storage.records import ANSWERED, DEAD, OWN, WAITING, Item
from node.storage.spool import Spool
from tests.node.objects import CANARY, content, radiograph, result, result_uid
from tests.node.peers import FakeService
from tests.waiting import DEADLINE_S, until_async

pytestmark = pytest.mark.anyio


class Parts:
    """An analyser with a service, a spool and a ledger."""

    def __init__(self, folder: Path, tls: ssl.SSLContext | None = None, **service: Any) -> None:
        self.service = FakeService(tls)
        section = {"url": self.service.url, "timeout_s": DEADLINE_S, "retry_s": 3600} | service
        destination = {"name": "pacs", "type": "c-store", "address": "127.0.0.1", "port": 1, "ae_title": "PACS"}
        self.config = Config.model_validate(
            {
                "scp": {"calling_ae_titles": ["*"]},
                "spool": {"folder": folder, "min_free_bytes": 0},
                "service": section,
                "destinations": [destination, destination | {"name": "viewer", "results": ["heatmap"]}],
            }
        )
        self.spool = Spool(self.config.spool)
        self.spool.claim()
        self.ledger = Ledger(self.spool.ledger_path)
        self.analyser = Analyser(self.config, self.ledger, self.spool, Metrics(), lambda: None)

    def add(self, dataset: Any) -> str:
        """An object that has been received."""
        uid = str(dataset.SOPInstanceUID)
        received = self.spool.new_path()
        received.write_bytes(content(dataset))
        self.spool.keep_object(received, uid)
        self.ledger.add(uid)
        return uid

    async def run_until(self, condition: Callable[[], Any]) -> None:
        """Analyse until this is so."""
        running = asyncio.ensure_future(self.analyser.run(poll_s=0.01))
        try:
            await until_async(lambda: condition() or running.done(), self.ledger.dead_letters)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert condition()

    def close(self) -> None:
        """Close it."""
        self.ledger.close()
        self.spool.close()
        self.service.stop()


Make = Callable[..., Parts]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    # What waits for its second attempt still does at the end of a test, on a busy machine, too.
    monkeypatch.setattr("node.analysis.pause_after", lambda tries: LONGEST_PAUSE_S)
    made: list[Parts] = []

    def new(**service: Any) -> Parts:
        made.append(Parts(tmp_path / "spool", **service))
        return made[-1]

    yield new
    for parts in made:
        parts.close()


async def test_an_object_gets_its_two_results(make: Make) -> None:
    parts = make(operating_point="screening")
    uid = parts.add(radiograph())
    await parts.run_until(lambda: parts.ledger.state(uid) == ANSWERED and not parts.spool.object_path(uid).exists())
    assert parts.service.calls == [("/predict", uid), ("/explain", uid)]
    assert [(each.kind, each.result_uid) for each in parts.ledger.due_deliveries("pacs", 9)] == [
        ("heatmap", result_uid(uid, "heatmap")),
        ("sr", result_uid(uid, "sr")),
    ]
    assert [each.kind for each in parts.ledger.due_deliveries("viewer", 9)] == ["heatmap"]
    assert parts.spool.result_path(uid, "sr").read_bytes() == content(result(uid, "sr", radiograph().StudyInstanceUID))
    path, headers = parts.service.requests[0]
    assert path == "/predict?operating_point=screening"
    sent = {name.lower(): value for name, value in headers.items()}
    assert (sent["content-type"], sent["accept"]) == ("application/dicom", "application/dicom")


async def test_a_renewed_key_and_authority_are_used_for_the_next_object(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("node.credentials.CHECK_INTERVAL_S", 0.0)
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    files = {name: tmp_path / name for name in ("key_file", "ca_file")}
    files["key_file"].write_text("former\n")
    trustme.CA().cert_pem.write_to_path(files["ca_file"])  # before the renewal: that of another authority
    monkeypatch.setattr("node.analysis.pause_after", lambda tries: 0.01)
    parts = make(tls=context, **files)
    first = parts.add(radiograph())
    await parts.run_until(lambda: "no TLS connection" in parts.analyser.problem)
    files["ca_file"].write_text("nothing")
    await parts.run_until(lambda: parts.analyser._access.fault)
    assert parts.ledger.state(first) == WAITING
    authority.cert_pem.write_to_path(files["ca_file"])
    await parts.run_until(lambda: parts.ledger.state(first) == ANSWERED)
    files["key_file"].write_text("renewed\n")
    second = parts.add(radiograph())
    await parts.run_until(lambda: parts.ledger.state(second) == ANSWERED and not parts.analyser.problem)
    sent = [dict(headers)["Authorization"] for _, headers in parts.service.requests]
    assert sent == ["Bearer former"] * 2 + ["Bearer renewed"] * 2
    assert caplog.text.count("what was read before stays in use") == 1


async def test_the_service_s_retry_after_is_kept(make: Make) -> None:
    parts = make()
    parts.service.failures = [(503, "overloaded", {"Retry-After": "1"}), (503, "not-ready", {}), (504, "deadline", {})]
    uid = parts.add(radiograph())
    await parts.run_until(lambda: parts.ledger.state(uid) == ANSWERED)
    assert len(parts.service.requests) == 5


@pytest.mark.parametrize(
    ("status", "slug"), [(422, "lateral-view"), (415, "unsupported-transfer-syntax"), (413, "body-too-large")]
)
async def test_what_the_service_refuses_is_a_dead_letter(make: Make, status: int, slug: str) -> None:
    parts = make()
    parts.service.failures = [(status, slug, {})]
    uid = parts.add(radiograph())
    await parts.run_until(lambda: parts.ledger.state(uid) == DEAD)
    assert [letter.reason for letter in parts.ledger.dead_letters()] == [f"{status} {slug}: a detail"]
    assert parts.spool.object_path(uid).exists()  # for retry
    parts.ledger.retry([uid])
    await parts.run_until(lambda: parts.ledger.state(uid) == ANSWERED)


@pytest.mark.parametrize(
    ("status", "slug"),
    [
        (401, "unauthorized"),
        (404, "unknown-model"),
        (406, "not-acceptable"),
        (415, "unsupported-media-type"),  # the service lacks its extra for DICOM
        (422, "unknown-operating-point"),
        (200, "an older version"),
        (500, "internal-error"),
    ],
)
async def test_what_is_not_the_object_s_fault_waits(make: Make, status: int, slug: str) -> None:
    parts = make()
    parts.service.failures = [(status, slug, {})]
    uid = parts.add(radiograph())
    await parts.run_until(lambda: parts.service.requests and not parts.ledger.due_objects(1))
    assert parts.ledger.state(uid) == WAITING
    assert parts.spool.object_path(uid).exists()
    if status != 500:  # else it may be this object alone
        assert parts.analyser.problem.startswith("the service analyses nothing: ")


async def test_a_refusal_shows_that_the_service_works_again(make: Make) -> None:
    parts = make()
    parts.service.failures = [(401, "unauthorized", {}), (422, "lateral-view", {})]
    first = parts.add(radiograph())
    await parts.run_until(lambda: parts.analyser.problem)
    second = parts.add(radiograph())
    await parts.run_until(lambda: parts.ledger.state(second) == DEAD)
    assert (parts.analyser.problem, parts.ledger.state(first)) == ("", WAITING)


async def test_a_service_that_fails_with_an_object_again_and_again_makes_it_a_dead_letter(make: Make) -> None:
    parts = make(attempts=1)
    parts.service.failures = [(500, "internal-error", {})]
    uid = parts.add(radiograph())
    await parts.run_until(lambda: parts.ledger.state(uid) == DEAD)
    assert [letter.reason for letter in parts.ledger.dead_letters()] == [
        "1 attempts failed: 500 internal-error: a detail"
    ]


async def test_the_others_go_on_while_one_waits(make: Make) -> None:
    parts = make(parallel=1)
    parts.service.failures = [(500, "internal-error", {})]
    first, second = (parts.add(radiograph()) for _ in range(2))
    await parts.run_until(lambda: parts.ledger.uids(ANSWERED))
    assert parts.ledger.uids(WAITING) | parts.ledger.uids(ANSWERED) == {first, second}


async def test_results_of_any_node_are_not_analysed(make: Make) -> None:
    parts = make()
    capture = result("2.25.7", "heatmap")
    capture.Modality = "CR"
    uid = parts.add(capture)
    await parts.run_until(lambda: parts.ledger.state(uid) == OWN and not parts.spool.object_path(uid).exists())
    assert parts.service.requests == []


async def test_an_object_whose_file_is_missing_is_a_dead_letter(make: Make) -> None:
    parts = make()
    uid = parts.add(radiograph())
    parts.spool.drop_object(uid)
    await parts.run_until(lambda: parts.ledger.state(uid) == DEAD)


async def test_a_spool_that_cannot_be_written_is_a_problem_until_a_result_is_kept(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = make()
    full = [OSError(errno.ENOSPC, "No space left on device")]
    keep = parts.spool.keep_result

    def keep_result(*arguments: Any) -> None:
        if full:
            raise full.pop()
        keep(*arguments)

    monkeypatch.setattr(parts.spool, "keep_result", keep_result)
    first = parts.add(radiograph())
    await parts.run_until(lambda: parts.analyser.problem)
    assert parts.analyser.problem == "the spool cannot be read or written: No space left on device"
    second = parts.add(radiograph())
    await parts.run_until(lambda: parts.ledger.state(second) == ANSWERED)
    await parts.run_until(lambda: not parts.analyser.problem)
    assert parts.ledger.state(first) == WAITING


async def test_a_ledger_that_works_again_is_no_problem_while_nothing_waits(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.analysis.PAUSE_S", 0.01)
    parts = make()
    failures, due = [sqlite3.OperationalError("database or disk is full")], parts.ledger.due_objects

    def due_objects(limit: int) -> list[Item]:
        if failures:
            raise failures[0]
        return due(limit)

    monkeypatch.setattr(parts.ledger, "due_objects", due_objects)
    await parts.run_until(lambda: parts.analyser.problem)
    assert parts.analyser.problem == "the ledger cannot be used: database or disk is full"
    failures.clear()
    await parts.run_until(lambda: not parts.analyser.problem)


async def test_no_reason_and_no_log_names_the_patient(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    parts = make()
    parts.service.failures = [(422, "lateral-view", {}), (500, "internal-error", {})]
    uids = [parts.add(radiograph()) for _ in range(3)]
    await parts.run_until(lambda: parts.ledger.uids(DEAD) and parts.ledger.uids(ANSWERED))
    words = " ".join(letter.reason for letter in parts.ledger.dead_letters()) + caplog.text
    words += " ".join(path.name for path in parts.spool.ledger_path.parent.glob("**/*"))
    assert "PATIENT" in CANARY
    assert "PATIENT" not in words
    assert len(uids) == 3


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="service: --key-file"):
        Parts(tmp_path, key_file=tmp_path / "none")
