"""Results reach a destination once, whatever it answers and however often it goes away."""

import asyncio
import contextlib
import json
import socket
import sqlite3
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from prometheus_client import generate_latest

from node.config import COMPREHENSIVE_3D_SR, ConfigError, CStore, SpoolSection, Stow
from node.delivery.cstore import CStoreSender
from node.delivery.deliverer import Deliverer, new_sender
from node.delivery.outcomes import STORED, Unavailable, Verdict, outcome_of
from node.monitor import Metrics
from node.storage.ledger import Ledger
from node.storage.spool import Spool
from tests.node.objects import content, result, result_uid
from tests.node.peers import FakePacs
from tests.waiting import DEADLINE_S, until_async

pytestmark = pytest.mark.anyio
_DRIP_S = 0.01


class FakeStore:
    """A STOW-RS store. ``answers``: status and body to answer first. ``bodies``: what was sent, with its headers."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.kind, self.drips = "", False  # the media type of its answers; and whether they never end
        self.bodies: list[tuple[str, dict[str, str], bytes]] = []
        self.stopped = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                fake.bodies.append((self.path, headers, body))
                status, sent = fake.answers.pop(0) if fake.answers else (200, b"{}")
                self.send_response(status)
                self.send_header("Content-Length", str(len(sent) + 10**6 * fake.drips))
                if fake.kind:
                    self.send_header("Content-Type", fake.kind)
                self.end_headers()
                self.wfile.write(sent)
                while fake.drips and not fake.stopped.wait(_DRIP_S):
                    self.wfile.write(b" ")

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/dicom-web/"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Go down."""
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()


class Parts:
    """A deliverer with its spool and ledger."""

    def __init__(self, folder: Path, destination: CStore | Stow) -> None:
        self.spool = Spool(SpoolSection(folder=folder, min_free_bytes=0))
        self.spool.claim()
        self.ledger, self.metrics = Ledger(self.spool.ledger_path), Metrics()
        self._executor = ThreadPoolExecutor(1)
        self.deliverer = Deliverer(destination, self.ledger, self.spool, self.metrics, self._executor)

    def add(self, uid: str, *kinds: str) -> None:
        """Results of an object, in the spool."""
        for kind in kinds:
            self.spool.keep_result(content(result(uid, kind)), uid, kind)
        self.ledger.answer(uid, [(kind, "pacs", result_uid(uid, kind)) for kind in kinds])

    async def run_until(self, condition: Callable[[], Any]) -> None:
        """Deliver until this is so."""
        running = asyncio.ensure_future(self.deliverer.run(poll_s=0.01, backoff=lambda _: 0.01))
        try:
            await until_async(lambda: condition() or running.done())
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await asyncio.to_thread(self._executor.shutdown)
            self._executor = ThreadPoolExecutor(1)
            self.deliverer._executor = self._executor
        assert condition()

    def states(self) -> dict[str, int]:
        """Deliveries by state."""
        return {state: count for (_, state), count in self.ledger.counts().deliveries.items()}

    def results(self) -> list[str]:
        """The files of results in the spool."""
        return [path.name for path in self.spool.ledger_path.parent.glob("results/*")]

    def close(self) -> None:
        """Close it."""
        self._executor.shutdown()
        self.ledger.close()
        self.spool.close()


@pytest.fixture
def pacs() -> Iterator[FakePacs]:
    pacs = FakePacs()
    yield pacs
    pacs.stop()


@pytest.fixture
def store() -> Iterator[FakeStore]:
    store = FakeStore()
    yield store
    store.stop()


Deliver = Callable[[CStore | Stow], Parts]


@pytest.fixture
def deliver(tmp_path: Path) -> Iterator[Deliver]:
    made: list[Parts] = []

    def new(destination: CStore | Stow) -> Parts:
        made.append(Parts(tmp_path / "spool", destination))
        return made[-1]

    yield new
    for parts in made:
        parts.close()


def c_store(pacs: FakePacs, **changes: Any) -> CStore:
    given = {"name": "pacs", "type": "c-store", "address": "127.0.0.1", "port": pacs.port, "ae_title": "PACS"}
    return CStore.model_validate(given | {"timeout_s": DEADLINE_S, "calling_ae_title": "XRAY"} | changes)


def stow(store: FakeStore, **changes: Any) -> Stow:
    return Stow.model_validate({"name": "pacs", "type": "stow-rs", "url": store.url, "timeout_s": DEADLINE_S} | changes)


async def test_c_store_sends_each_result_once_and_forgets_its_file(deliver: Deliver, pacs: FakePacs) -> None:
    parts = deliver(c_store(pacs))
    parts.add("1.2", "sr", "heatmap")
    await parts.run_until(lambda: parts.states() == {"delivered": 2})
    assert pacs.stored == {result_uid("1.2", "sr"): 1, result_uid("1.2", "heatmap"): 1}
    assert pacs.callers == {"XRAY"}
    assert parts.results() == []
    assert parts.spool.bytes_used == 0
    parts.add("1.2", "sr")  # answered again after a crash
    parts.add("1.3", "sr")
    await parts.run_until(lambda: parts.states() == {"delivered": 3})
    assert set(pacs.stored.values()) == {1}


async def test_a_destination_that_is_down_gets_everything_once_it_is_up(deliver: Deliver, pacs: FakePacs) -> None:
    parts = deliver(c_store(pacs))
    pacs.stop()
    parts.add("1.2", "sr", "heatmap")
    await parts.run_until(lambda: parts.deliverer.problem)
    assert parts.deliverer.problem == "destination pacs: no association (not reachable, or TLS failed)"
    assert parts.states() == {"waiting": 2}
    pacs.start()
    await parts.run_until(lambda: parts.states() == {"delivered": 2} and not parts.deliverer.problem)
    assert set(pacs.stored.values()) == {1}


@pytest.mark.parametrize(
    ("step", "reason"), [("close_delivery", "database or disk is full"), ("due_deliveries", "disk I/O error")]
)
async def test_a_ledger_that_fails_does_not_end_the_delivery(
    deliver: Deliver, pacs: FakePacs, monkeypatch: pytest.MonkeyPatch, step: str, reason: str
) -> None:
    parts = deliver(c_store(pacs))
    parts.add("1.2", "sr")
    original, failures = getattr(parts.ledger, step), [sqlite3.OperationalError(reason)]

    def fails_once(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return original(*arguments)

    monkeypatch.setattr(parts.ledger, step, fails_once)
    await parts.run_until(lambda: parts.states() == {"delivered": 1})


@pytest.mark.parametrize("damage", [lambda file: b"", lambda file: file[:60], lambda file: b"\xff" * len(file)])
@pytest.mark.parametrize("by", ["c-store", "stow-rs"])
async def test_a_result_that_is_damaged_is_a_dead_letter_and_the_others_go_on(
    *, deliver: Deliver, pacs: FakePacs, store: FakeStore, damage: Callable[[bytes], bytes], by: str
) -> None:
    parts = deliver(c_store(pacs) if by == "c-store" else stow(store))
    parts.add("1.2", "sr", "heatmap")
    path = parts.spool.result_path("1.2", "heatmap")
    path.write_bytes(damage(path.read_bytes()))
    await parts.run_until(lambda: parts.states() == {"delivered": 1, "dead": 1})
    assert [letter.reason for letter in parts.ledger.dead_letters()] == ["the result is damaged in the spool"]


async def test_a_result_that_cannot_be_read_now_waits(deliver: Deliver, pacs: FakePacs) -> None:
    parts = deliver(c_store(pacs))
    parts.add("1.2", "sr", "heatmap")
    path = parts.spool.result_path("1.2", "sr")
    path.unlink()
    path.mkdir()
    await parts.run_until(lambda: parts.states() == {"delivered": 1, "waiting": 1})


async def test_a_result_over_which_the_destination_aborts_does_not_hold_up_the_others(
    deliver: Deliver, pacs: FakePacs
) -> None:
    parts = deliver(c_store(pacs))
    pacs.aborts = {result_uid("1.2", "sr")}
    parts.add("1.2", "sr", "heatmap")
    await parts.run_until(lambda: parts.states() == {"delivered": 1, "waiting": 1})


@pytest.mark.parametrize("said", [b"", b"\x02\x00\x00\x00\x00\xff\x00", b"\x02\x00\xff\xff\xff\xff\x00"])
async def test_a_destination_that_stops_within_its_answer_is_one_that_is_down(deliver: Deliver, said: bytes) -> None:
    """Alone, pynetdicom waits for the rest for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted: list[socket.socket] = []

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    accepted.append(listener.accept()[0])
                    accepted[-1].sendall(said)

        threading.Thread(target=answer, daemon=True).start()
        given = {"name": "pacs", "type": "c-store", "address": "127.0.0.1", "port": listener.getsockname()[1]}
        parts = deliver(CStore.model_validate({**given, "ae_title": "PACS", "timeout_s": _DRIP_S}))
        parts.add("1.2", "sr")
        await parts.run_until(lambda: "no association" in parts.deliverer.problem)
        listener.shutdown(socket.SHUT_RDWR)
        for each in accepted:
            each.close()


async def test_a_rejected_association_is_reported(deliver: Deliver, pacs: FakePacs) -> None:
    pacs.require_called("OTHER")
    parts = deliver(c_store(pacs))
    parts.add("1.2", "sr")
    await parts.run_until(lambda: "rejected" in parts.deliverer.problem)


async def test_out_of_resources_is_tried_again_and_others_go_on(deliver: Deliver, pacs: FakePacs) -> None:
    parts = deliver(c_store(pacs))
    pacs.statuses = [0xA700]
    parts.add("1.2", "sr", "heatmap")
    await parts.run_until(lambda: parts.states() == {"delivered": 1, "waiting": 1})
    assert len(parts.results()) == 1


async def test_what_is_refused_for_good_is_a_dead_letter_and_can_be_retried(deliver: Deliver, pacs: FakePacs) -> None:
    parts = deliver(c_store(pacs))
    pacs.statuses = [0xA900]
    parts.add("1.2", "sr")
    await parts.run_until(lambda: parts.states() == {"dead": 1})
    assert [letter.reason for letter in parts.ledger.dead_letters()] == ["status 0xA900"]
    assert len(parts.results()) == 1
    parts.ledger.retry(["1.2"])
    await parts.run_until(lambda: parts.states() == {"delivered": 1})
    assert parts.results() == []


async def test_a_destination_that_does_not_take_the_class_refuses_for_good(deliver: Deliver) -> None:
    pacs = FakePacs([COMPREHENSIVE_3D_SR])
    parts = deliver(c_store(pacs))
    parts.add("1.2", "sr", "heatmap")
    await parts.run_until(lambda: parts.states() == {"delivered": 1, "dead": 1})
    assert [letter.reason for letter in parts.ledger.dead_letters()] == ["the SOP class of this result is not accepted"]
    pacs.stop()


@pytest.mark.parametrize("trusted", [True, False])
async def test_c_store_over_tls_checks_the_destination_s_certificate(
    deliver: Deliver, tmp_path: Path, trusted: bool
) -> None:
    authority, other, context = trustme.CA(), trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    (authority if trusted else other).cert_pem.write_to_path(tmp_path / "ca.pem")
    pacs = FakePacs(tls=context)
    parts = deliver(c_store(pacs, tls={"ca_file": tmp_path / "ca.pem"}))
    parts.add("1.2", "sr")
    await parts.run_until(lambda: parts.states() == {"delivered": 1} if trusted else parts.deliverer.problem)
    assert pacs.stored.total() == trusted
    pacs.stop()


async def test_renewed_authorities_are_used_for_the_next_association(
    deliver: Deliver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("node.credentials.CHECK_INTERVAL_S", 0.0)
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    pacs, ca_file = FakePacs(tls=context), tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca_file)  # before the renewal: that of another authority
    parts = deliver(c_store(pacs, tls={"ca_file": ca_file}))
    parts.add("1.2", "sr")
    await parts.run_until(lambda: "TLS failed" in parts.deliverer.problem)
    ca_file.write_text("nothing")
    await parts.run_until(lambda: parts.deliverer._credentials_problem)
    assert parts.states() == {"waiting": 1}
    authority.cert_pem.write_to_path(ca_file)
    await parts.run_until(lambda: parts.states() == {"delivered": 1} and not parts.deliverer.problem)
    assert caplog.text.count("destination pacs: the certificates cannot be loaded") == 1
    pacs.stop()


@pytest.mark.parametrize("kind", ["password_file", "token_file"])
async def test_a_renewed_password_or_token_is_used_for_the_next_results(
    deliver: Deliver, store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("node.credentials.CHECK_INTERVAL_S", 0.0)
    (tmp_path / "secret").write_text("former\n")
    parts = deliver(stow(store, **{kind: tmp_path / "secret"}, user="node" if kind == "password_file" else None))
    for uid, secret in (("1.2", "former"), ("1.3", None), ("1.4", "renewed")):
        (tmp_path / "secret").unlink(missing_ok=True)
        if secret:
            (tmp_path / "secret").write_text(f"{secret}\n")
        parts.add(uid, "sr")
        await parts.run_until(lambda: "waiting" not in parts.states())
    former, kept, renewed = (headers["authorization"] for _, headers, _ in store.bodies)
    assert former == kept != renewed
    assert parts.deliverer.problem == ""


async def test_stow_rs_sends_the_file_as_it_is(deliver: Deliver, store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    parts = deliver(stow(store, user="node", password_file=tmp_path / "password"))
    parts.add("1.2", "sr", "heatmap")
    await parts.run_until(lambda: parts.states() == {"delivered": 2})
    path, headers, body = store.bodies[0]
    assert path == "/dicom-web/studies"
    assert headers["authorization"] == "Basic bm9kZTpzZWNyZXQ="
    assert headers["accept"] == "application/dicom+json"
    media_type, boundary = headers["content-type"].split("; boundary=")
    assert media_type == 'multipart/related; type="application/dicom"'
    file = content(result("1.2", "heatmap"))
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    assert body == head + file + f"\r\n--{boundary}--\r\n".encode()
    assert parts.results() == []


def failed(reason: int) -> bytes:
    """A Store Instances Response that names a failure reason."""
    item = {"00081197": {"vr": "US", "Value": [reason]}, "00081155": {"vr": "UI", "Value": ["1.2"]}}
    return json.dumps({"00081198": {"vr": "SQ", "Value": [item]}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        (200, b"", "delivered"),
        (200, b"<NativeDicomModel/>", "delivered"),
        (202, b"{}", "delivered"),
        (202, failed(0xA700), "waiting"),
        (409, failed(0xA900), "dead"),
        (409, failed(0x0110), "waiting"),
        (400, b"", "dead"),
        (415, b"", "dead"),
    ],
)
async def test_what_stow_rs_answers(deliver: Deliver, store: FakeStore, status: int, body: bytes, state: str) -> None:
    parts = deliver(stow(store))
    store.answers = [(status, body)]
    parts.add("1.2", "sr")
    await parts.run_until(lambda: store.bodies and not parts.ledger.due_deliveries("pacs", 1))
    assert parts.states() == {state: 1}


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (500, "", b""),
        (507, "", b"the disk is full"),
        (413, "", b""),
        (200, "application/dicom+json", b'{"00081199": {"vr": "SQ", "Va'),
    ],
)
async def test_what_may_be_the_fault_of_a_result_does_not_hold_up_the_others(
    deliver: Deliver, store: FakeStore, status: int, kind: str, body: bytes
) -> None:
    parts = deliver(stow(store))
    store.answers, store.kind = [(status, body)], kind
    parts.add("1.2", "sr", "heatmap")
    await parts.run_until(lambda: parts.states() == {"delivered": 1, "waiting": 1})
    assert len(parts.results()) == 1


@pytest.mark.parametrize(("status", "kind"), [(200, "text/html; charset=utf-8"), (302, "")])
async def test_the_page_of_a_gateway_is_no_answer_of_a_store(
    deliver: Deliver, store: FakeStore, status: int, kind: str
) -> None:
    parts = deliver(stow(store))
    store.answers, store.kind = [(status, b"<html>Please log in")] * 100, kind
    parts.add("1.2", "sr")
    await parts.run_until(lambda: f"HTTP {status}" in parts.deliverer.problem)
    assert parts.states() == {"waiting": 1}


async def test_an_answer_that_does_not_end_is_ended(deliver: Deliver, store: FakeStore) -> None:
    parts = deliver(stow(store, timeout_s=100 * _DRIP_S))
    store.drips = True
    parts.add("1.2", "sr")
    await parts.run_until(lambda: "no whole answer in time" in parts.deliverer.problem)
    store.drips = False
    parts.add("1.3", "sr")
    await parts.run_until(lambda: parts.states() == {"delivered": 1, "waiting": 1})


@pytest.mark.parametrize("status", [401, 404, 503])
async def test_a_store_that_is_not_itself_gets_the_result_later(
    deliver: Deliver, store: FakeStore, status: int
) -> None:
    parts = deliver(stow(store))
    store.answers = [(status, b"")] * 2
    parts.add("1.2", "sr")
    await parts.run_until(lambda: parts.states() == {"delivered": 1})
    assert len(store.bodies) == 3
    assert 'destination="pacs",outcome="unavailable"} 2.0' in generate_latest(parts.metrics.registry).decode()


async def test_a_store_that_is_down_is_reported(deliver: Deliver, store: FakeStore) -> None:
    parts = deliver(stow(store))
    store.stop()
    parts.add("1.2", "sr")
    await parts.run_until(lambda: "destination pacs: " in parts.deliverer.problem)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0000, Verdict.STORED),
        (0xB000, Verdict.STORED),
        (0xB007, Verdict.STORED),
        (0x0107, Verdict.STORED),
        (0xA700, Verdict.LATER),
        (0x0110, Verdict.LATER),
        (0x0124, Verdict.LATER),  # not authorised: the destination's configuration
        (0x0122, Verdict.NEVER),
        (0xA900, Verdict.NEVER),
        (0xC123, Verdict.NEVER),
    ],
)
def test_the_verdict_by_the_status(status: int, verdict: Verdict) -> None:
    found = outcome_of(status)
    assert found.verdict is verdict
    assert (found == STORED) == (found.reason == "")


def test_credentials_that_cannot_be_read_are_named(store: FakeStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="token cannot be read"):
        new_sender(stow(store, token_file=tmp_path / "token"))


def test_a_name_that_cannot_be_resolved_is_a_destination_that_is_down() -> None:
    """A name below .invalid never can (RFC 6761). It once ended the node."""
    nowhere = CStore(name="pacs", type="c-store", address="pacs.invalid", port=104, ae_title="PACS")
    with pytest.raises(Unavailable), CStoreSender(nowhere):
        pass
