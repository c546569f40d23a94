"""The DICOM server: what is accepted, what is refused and how, and that an acknowledged object is in the spool."""

import itertools
import queue
import socket
import sqlite3
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
import trustme
from prometheus_client import generate_latest
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless
from pynetdicom import AE
from pynetdicom.pdu_primitives import A_ABORT

from node import config
from node.monitor import Metrics
from node.receiving import scp
from node.receiving.scp import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, SUCCESS, WRONG_CLASS, Scp
from node.storage.ledger import Ledger
from node.storage.records import ANSWERED, DEAD, WAITING
from node.storage.spool import Spool
from node.transport import ClosingStateMachine
from tests.node.certificates import encrypt, write_files
from tests.node.objects import content, radiograph, result, result_uid
from tests.node.peers import accepted_syntax, association, send
from tests.waiting import DEADLINE_S, until

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


class Listening:
    """A DICOM server with its spool and ledger."""

    def __init__(self, folder: Path, spool: dict[str, Any], section: dict[str, Any]) -> None:
        self.spool = Spool(config.SpoolSection(folder=folder, **{"min_free_bytes": 0} | spool))
        self.spool.claim()
        self.ledger = Ledger(self.spool.ledger_path)
        self.metrics, self.arrived = Metrics(), threading.Event()
        given = {"address": "127.0.0.1", "port": 0, "calling_ae_titles": ["MODALITY"], "idle_s": DEADLINE_S} | section
        self.scp = Scp(config.Scp(**given), self.spool, self.ledger, self.metrics, self.arrived.set)
        self.port = 0

    def files(self) -> list[Path]:
        return [path for path in self.spool.ledger_path.parent.glob("*/*") if path.is_file()]


Listen = Callable[..., Listening]


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    """Starts a DICOM server with these limits of the spool, and these entries of ``[scp]``."""
    started = []

    def start(spool: dict[str, Any] | None = None, **section: Any) -> Listening:
        node = Listening(tmp_path / "spool", spool or {}, section)
        started.append(node)
        node.scp.start()
        node.port = node.scp.port
        return node

    yield start
    for each in started:
        each.scp.abort()
        each.ledger.close()
        each.spool.close()


def test_an_accepted_object_is_in_the_spool_and_the_ledger_as_it_was_sent(listen: Listen) -> None:
    node, image = listen(), radiograph()
    assert send(node.port, image) == [SUCCESS]
    kept = dcmread(node.spool.object_path(image.SOPInstanceUID))
    assert kept == image
    assert node.ledger.state(image.SOPInstanceUID) == WAITING
    assert node.arrived.is_set()
    assert node.spool.bytes_used == node.spool.object_path(image.SOPInstanceUID).stat().st_size


def test_c_echo(listen: Listen) -> None:
    with association(listen().port) as made:
        assert made.send_c_echo().Status == SUCCESS


def test_an_object_received_again_is_acknowledged_and_kept_once(listen: Listen) -> None:
    node, image = listen(), radiograph()
    assert send(node.port, image, image) == [SUCCESS, SUCCESS]
    assert len(node.files()) == 1
    node.ledger.answer(image.SOPInstanceUID, [("sr", "pacs", "1.2.3")])
    node.spool.drop_object(image.SOPInstanceUID)
    assert send(node.port, image) == [SUCCESS]
    assert node.ledger.state(image.SOPInstanceUID) == ANSWERED
    assert node.files() == []
    assert node.spool.bytes_used == 0


def test_a_dead_letter_that_is_received_again_waits_again(listen: Listen) -> None:
    node, image = listen(), radiograph()
    send(node.port, image)
    node.ledger.close_object(image.SOPInstanceUID, DEAD, "422")
    assert send(node.port, radiograph(image.SOPInstanceUID, side=80)) == [SUCCESS]
    assert node.ledger.state(image.SOPInstanceUID) == WAITING
    assert dcmread(node.spool.object_path(image.SOPInstanceUID)).Rows == 80
    assert node.spool.bytes_used == node.files()[0].stat().st_size


def test_a_result_of_the_node_that_comes_back_is_acknowledged_and_dropped(listen: Listen) -> None:
    node = listen()
    node.ledger.answer("1.2", [(kind, "pacs", result_uid("1.2", kind)) for kind in ("sr", "heatmap")])
    assert send(node.port, result("1.2", "heatmap"), result("1.2", "sr"), result("3", "sr")) == [0, 0, WRONG_CLASS]
    assert node.files() == []


def test_an_object_that_is_too_large_is_refused_and_leaves_nothing(listen: Listen) -> None:
    node = listen(max_object_bytes=65_536)
    assert send(node.port, radiograph(side=200), radiograph(side=64)) == [CANNOT_UNDERSTAND, SUCCESS]
    assert len(node.files()) == 1
    assert node.spool.bytes_used == node.files()[0].stat().st_size


def test_a_sender_of_an_endless_object_is_cut_off(listen: Listen) -> None:
    node = listen(max_object_bytes=65_536)
    with association(node.port) as made:
        response = made.send_c_store(radiograph(side=1000))
        assert "Status" not in response
    until(lambda: node.scp.associations == 0)
    assert node.files() == []
    assert send(node.port, radiograph()) == [SUCCESS]


def test_a_full_spool_refuses_with_out_of_resources(listen: Listen) -> None:
    node = listen({"max_bytes": 1_000_000})
    assert send(node.port, *(radiograph(side=400) for _ in range(4))) == [SUCCESS] * 3 + [OUT_OF_RESOURCES]
    assert node.spool.bytes_used == sum(path.stat().st_size for path in node.files())
    assert 'outcome="no room"' in generate_latest(node.metrics.registry).decode()


def test_a_nearly_full_disk_refuses_with_out_of_resources(listen: Listen) -> None:
    node = listen({"min_free_bytes": 2**60})
    assert send(node.port, radiograph()) == [OUT_OF_RESOURCES]
    assert node.files() == []


@pytest.mark.parametrize("step", ["keep_object", "add"])
def test_what_cannot_be_written_is_not_acknowledged(listen: Listen, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    node, image = listen(), radiograph()

    def full(*_arguments: object) -> None:
        import sqlite3

        raise OSError(28, "No space left on device") if step == "keep_object" else sqlite3.OperationalError("full")

    monkeypatch.setattr(node.spool if step == "keep_object" else node.ledger, step, full)
    assert send(node.port, image) == [OUT_OF_RESOURCES]
    assert node.files() == []
    assert node.spool.bytes_used == 0
    monkeypatch.undo()
    assert send(node.port, image) == [SUCCESS]


def test_a_data_set_that_is_not_what_the_command_says_is_refused(listen: Listen) -> None:
    node, image = listen(), radiograph()
    with association(node.port) as made:
        from pynetdicom.dimse_primitives import C_STORE

        request = C_STORE()
        request.MessageID, request.Priority, request.AffectedSOPClassUID = 1, 2, config.CR_IMAGE
        request.AffectedSOPInstanceUID = "1.2.3"  # the data set has another
        from io import BytesIO

        from pynetdicom.dsutils import encode

        request.DataSet = BytesIO(encode(image, False, True) or b"")
        context = next(each for each in made.accepted_contexts if each.abstract_syntax == config.CR_IMAGE)
        statuses = []
        for stream in (request.DataSet, BytesIO(b"\x08\x00\x16\x00\xff\xff\xff\x00garbage")):
            request.DataSet = stream
            made._reactor_checkpoint.clear()
            made.dimse.send_msg(request, context.context_id)
            _, response = made.dimse.get_msg(block=True)
            made._reactor_checkpoint.set()
            statuses.append(response.Status)
    assert statuses == [WRONG_CLASS, CANNOT_UNDERSTAND]
    assert node.files() == []


def test_other_objects_are_not_accepted(listen: Listen) -> None:
    entity = AE("MODALITY")
    entity.add_requested_context(CT_IMAGE)
    entity.add_requested_context(config.CR_IMAGE)
    made = entity.associate("127.0.0.1", listen().port, ae_title="XRAYNODE")
    assert [context.abstract_syntax for context in made.accepted_contexts] == [config.CR_IMAGE]
    made.release()


def test_secondary_capture_can_be_left_out(listen: Listen) -> None:
    with association(listen(secondary_capture=False).port) as made:
        assert config.SECONDARY_CAPTURE not in {context.abstract_syntax for context in made.accepted_contexts}


def test_compressed_objects_are_taken_as_they_are(listen: Listen) -> None:
    with association(listen().port, syntaxes=[JPEG2000Lossless]) as made:
        assert accepted_syntax(made) == JPEG2000Lossless


@pytest.mark.parametrize(("called", "calling"), [("XRAYNODE", "STRANGER"), ("OTHER", "MODALITY")])
def test_other_ae_titles_are_rejected(listen: Listen, called: str, calling: str) -> None:
    with association(listen().port, called, calling) as made:
        assert made.is_rejected
        assert made.acceptor.primitive.result == 1  # rejected-permanent


def test_connections_that_ask_for_no_association_end_when_all_are_aborted(listen: Listen) -> None:
    node = listen()
    with connection(node.port) as silent:
        until(lambda: node.scp.associations)
        node.scp.abort()
        assert silent.recv(1) == b""


@pytest.mark.parametrize("state", ["Sta1", "Sta2", "Sta13"])  # idle; no association yet; no longer
def test_an_abort_of_no_association_closes_the_connection(state: str) -> None:
    requests: queue.Queue[A_ABORT] = queue.Queue()
    requests.put(A_ABORT())
    closed = threading.Event()
    provider: Any = SimpleNamespace(to_provider_queue=requests, socket=SimpleNamespace(close=closed.set))
    machine = ClosingStateMachine(provider)
    machine.current_state = state
    machine.do_action("Evt15")
    machine.current_state = state
    machine.do_action("Evt15")  # announced twice
    assert closed.is_set()
    assert requests.empty()


@pytest.mark.parametrize("called", ["XRAYNODE", "XRAY TWO"])
def test_every_listed_ae_title_is_this_node_s(listen: Listen, called: str) -> None:
    node = listen(ae_titles=["XRAYNODE", "XRAY TWO"], calling_ae_titles=["MODALITY", "PACS"])
    for calling in ("MODALITY", "PACS"):
        with association(node.port, called, calling) as made:
            assert made.is_established


def test_any_calling_ae_title_can_be_allowed(listen: Listen) -> None:
    with association(listen(calling_ae_titles=["*"]).port, calling="ANYONE") as made:
        assert made.is_established


def test_one_association_too_many_is_rejected_for_now(listen: Listen) -> None:
    node = listen(max_associations=1)
    with association(node.port) as first, association(node.port) as second:
        assert first.is_established
        rejected = second.acceptor.primitive
        assert (rejected.result, rejected.result_source, rejected.diagnostic) == (2, 3, 2)  # transient, limit exceeded
    until(lambda: node.scp.associations == 0)
    with association(node.port) as third:
        assert third.is_established


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    node = Listening(tmp_path_factory.mktemp("lively"), {}, {"max_associations": 1000})
    node.scp.start()
    node.port = node.scp.port
    yield node
    node.scp.abort()
    node.ledger.close()
    node.spool.close()


@contextmanager
def connection(port: int, data: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as made:
        made.sendall(data)
        yield made


@hypothesis.given(
    st.binary(max_size=300)
    | st.tuples(st.sampled_from([1, 4, 5, 6, 7, 9]), st.binary(max_size=300)).map(
        lambda pdu: struct.pack(">BBL", pdu[0], 0, len(pdu[1])) + pdu[1]
    )
)
@hypothesis.settings(max_examples=25, suppress_health_check=list(hypothesis.HealthCheck))
def test_whatever_is_sent_the_next_association_is_served(lively: Listening, data: bytes) -> None:
    with connection(lively.port, data):
        pass
    with association(lively.port) as made:
        assert made.send_c_echo().Status == SUCCESS


def test_a_pdu_of_impossible_length_ends_the_connection(listen: Listen) -> None:
    node = listen()
    with connection(node.port, struct.pack(">BBL", 1, 0, 2**32 - 1)) as made:
        assert made.recv(1) == b""
    assert send(node.port, radiograph()) == [SUCCESS]


def test_what_an_association_leaves_unfinished_is_deleted(listen: Listen) -> None:
    node, image = listen(), radiograph(side=400)
    with association(node.port) as made:
        begun = until(lambda: _begin(made, image) or node.files(), node.files)
        assert begun
        made.abort()
    until(lambda: not node.files() and not node.spool.bytes_used)


def _begin(association: Any, image: Any) -> bool:
    """Send the command of a C-STORE request, and the beginning of its data set."""
    from io import BytesIO

    from pynetdicom.dimse_messages import C_STORE_RQ
    from pynetdicom.dimse_primitives import C_STORE

    if getattr(association, "begun", False):
        return False
    association.begun = True
    request = C_STORE()
    request.MessageID, request.Priority, request.AffectedSOPClassUID = 1, 2, config.CR_IMAGE
    request.AffectedSOPInstanceUID, request.DataSet = image.SOPInstanceUID, BytesIO(content(image))
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    context = next(each for each in association.accepted_contexts if each.abstract_syntax == config.CR_IMAGE)
    for _, part in zip(range(3), message.encode_msg(context.context_id, 16_384), strict=False):
        association.dul.send_pdu(part)
    return False


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA, tmp_path: Path) -> dict[str, Path]:
    """The files of a server that demands client certificates."""
    return write_files(authority, tmp_path)


def client_of(authority: trustme.CA) -> dict[str, Any]:
    """TLS of a modality that trusts this authority and has a certificate of it."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    authority.issue_cert("modality.example").configure_cert(context)
    return {"tls_args": (context, "127.0.0.1")}


def test_a_failed_handshake_is_logged_with_its_reason(
    listen: Listen, tls: dict[str, Path], authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    node = listen(tls=tls)
    nobody = ssl.create_default_context()
    authority.configure_trust(nobody)
    with association(node.port, tls_args=(nobody, "127.0.0.1")) as made:
        assert not made.is_established
    until(lambda: "TLS failed: peer did not return a certificate" in caplog.text)


def test_tls_with_client_certificates(listen: Listen, tls: dict[str, Path], authority: trustme.CA) -> None:
    node = listen(tls=tls)
    with connection(node.port):  # sends nothing, and holds up nobody
        trusted = ssl.create_default_context()
        authority.configure_trust(trusted)
        with association(node.port, tls_args=(trusted, "127.0.0.1")) as made:
            assert not made.is_established  # without a certificate
        authority.issue_cert("modality.example").configure_cert(trusted)
        assert send(node.port, radiograph(), tls_args=(trusted, "127.0.0.1")) == [SUCCESS]
    with association(node.port) as made:
        assert not made.is_established


@pytest.mark.parametrize("wrong", ["no certificate", "encrypted", "no authority"])
def test_a_certificate_that_cannot_be_loaded_is_named(listen: Listen, tls: dict[str, Path], wrong: str) -> None:
    if wrong == "encrypted":
        encrypt(tls["key"])  # no passphrase is asked for
    else:
        tls["certificate" if wrong == "no certificate" else "ca_file"].write_text("nothing")
    with pytest.raises(config.ConfigError, match=r"^scp\.tls: the certificates cannot be loaded: [^:]+(: [^:]+)?$"):
        listen(tls=tls)


def test_renewed_certificates_are_used_for_new_associations(
    listen: Listen,
    tls: dict[str, Path],
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("node.credentials.CHECK_INTERVAL_S", 0.0)
    node, renewed, folder = listen(tls=tls), trustme.CA(), tls["key"].parent
    former, new = client_of(authority), client_of(renewed)
    with association(node.port, **former) as kept:
        tls["key"].write_text("half a fi")
        until(lambda: node.scp.problem)
        assert send(node.port, radiograph(), **former) == [SUCCESS]  # the former ones stay in use
        write_files(renewed, folder)
        until(lambda: not node.scp.problem)
        until(lambda: _is_accepted(node.port, new))
        assert send(node.port, radiograph(), **new) == [SUCCESS]
        assert not _is_accepted(node.port, former)
        assert kept.send_c_store(radiograph()).Status == SUCCESS
    faults = [record.message for record in caplog.records if "stays in use" in record.message]
    assert [fault for fault, following in itertools.pairwise(faults) if fault == following] == []  # each is said once
    assert faults[0].startswith("scp.tls: the certificates cannot be loaded: not a PEM certificate with a matching")


def _is_accepted(port: int, client: dict[str, Any]) -> bool:
    with association(port, **client) as made:
        return bool(made.is_established)


def test_every_transfer_syntax_that_the_service_reads_is_accepted() -> None:
    assert len(set(scp.TRANSFER_SYNTAXES)) == 12


@pytest.mark.parametrize("method", ["state", "is_result", "add"])
def test_a_ledger_that_fails_means_later_and_not_never(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    node = listen()

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(node.ledger, method, fail)
    assert send(node.port, radiograph()) == [OUT_OF_RESOURCES]
    monkeypatch.undo()
    assert send(node.port, radiograph()) == [SUCCESS]
