"""The DICOM server: C-ECHO and C-STORE of radiographs. Nothing is decoded here.

C-STORE is answered with 0x0000 once the object and the ledger are on disk, and only then.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, cast

from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AE, evt
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made when it is asked for

from node import config
from node.credentials import server_tls
from node.header import HeaderError, Identity, dataset_identity, is_uid
from node.monitor import Metrics
from node.receiving.incoming import IncomingFile, IncomingFiles
from node.storage.ledger import Ledger
from node.storage.records import ANSWERED, OWN, WAITING
from node.storage.spool import Spool
from node.transport import BoundedHandler, BoundedServer

log = logging.getLogger(__name__)

SUCCESS, OUT_OF_RESOURCES, WRONG_CLASS, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xA900, 0xC000  # PS3.4 table B.2-1
TRANSFER_SYNTAXES: list[UID] = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
    RLELossless,
]
_FAULTS = {"too large": (CANNOT_UNDERSTAND, "too large"), "full": (OUT_OF_RESOURCES, "no room")}
_OTHER_MESSAGE_BYTES = 1_048_576  # a command, or a data set that is not of a C-STORE


class Scp:
    """The DICOM server of a node. ``port``: where it listens, once started.

    Args:
        section: addresses, AE titles, limits.
        spool: keeps what is received.
        ledger: knows what has been received.
        metrics: counts.
        on_object: called from another thread after an object has been accepted.

    Raises:
        ConfigError: a certificate cannot be loaded.
    """

    port = 0

    def __init__(
        self, section: config.Scp, spool: Spool, ledger: Ledger, metrics: Metrics, on_object: Callable[[], None]
    ) -> None:
        self._section, self._spool, self._ledger, self._metrics = section, spool, ledger, metrics
        self._on_object = on_object
        self._files = IncomingFiles(spool, section.max_object_bytes)
        self._ae = self._entity()
        self._tls = server_tls("scp.tls", section.tls)

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be used.
        """
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, lambda event: self._files.receive(event.assoc.dul)),
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_REJECTED, self._rejected),
            (evt.EVT_PDU_RECV, self._bound),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_ECHO, self._echo),
            (evt.EVT_CONN_CLOSE, self._closed),
        ]
        address, contexts = (self._section.address, self._section.port), self._ae.supported_contexts
        title, context = self._section.ae_titles[0], self._tls.current()
        self._server = BoundedServer(self._ae, address, title, contexts, context, handlers, BoundedHandler)
        self._server.new_context = self._tls.current
        self._ae._servers.append(self._server)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="scp", daemon=True).start()

    @property
    def problem(self) -> str:
        """What does not work now; empty: nothing."""
        return self._tls.fault

    @property
    def associations(self) -> int:
        """How many there are."""
        return len(self._ae.active_associations)

    def stop_listening(self) -> None:
        """Accept no further connection. Associations go on."""
        self._server.shutdown()

    def drain(self, seconds: float) -> int:
        """Let associations end by themselves, for so long at most. Returns how many have not."""
        ends = time.monotonic() + seconds
        for association in self._ae.active_associations:
            association.join(max(0.0, ends - time.monotonic()))
        return self.associations

    def abort(self) -> None:
        """Abort all associations."""
        self._ae.shutdown()

    def discard_unfinished(self) -> None:
        """Delete what associations that have ended left unfinished."""
        self._files.discard_ended()

    def _entity(self) -> AE:
        section, entity = self._section, AE(self._section.ae_titles[0])
        entity.maximum_associations, entity.maximum_pdu_size = section.max_associations, section.max_pdu_bytes
        entity.require_called_aet = True
        entity.require_calling_aet = [] if "*" in section.calling_ae_titles else list(section.calling_ae_titles)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = section.idle_s
        classes = [config.CR_IMAGE, config.DX_FOR_PRESENTATION]
        classes += [config.SECONDARY_CAPTURE] if section.secondary_capture else []
        for sop_class in classes:
            entity.add_supported_context(sop_class, TRANSFER_SYNTAXES)
        # A PACS that sends whole studies also sends the node's own SR, which is acknowledged and dropped.
        entity.add_supported_context(config.COMPREHENSIVE_3D_SR, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        entity.add_supported_context(Verification)
        return entity

    def _requested(self, event: Event) -> None:
        """Any of the AE titles is this node's. pynetdicom compares with the one that its association has."""
        association = event.assoc
        called = cast(A_ASSOCIATE, association.requestor.primitive).called_ae_title.strip()
        if called in self._section.ae_titles:
            association.acceptor.ae_title = called

    def _rejected(self, event: Event) -> None:
        self._metrics.associations_rejected.inc()
        log.warning(
            "an association from %s was rejected: AE title not configured, or max_associations (%d) reached",
            event.assoc.requestor.address,
            self._section.max_associations,
        )

    def _bound(self, event: Event) -> None:
        """End an association that sends more than any message may have."""
        association = event.assoc
        message = association.dimse.message
        parts = [message.encoded_command_set, message.data_set] if message else []
        if sum(part.tell() for part in parts if part) > _OTHER_MESSAGE_BYTES or self._files.endless(association.dul):
            log.warning("an association from %s was aborted: it sent too much", association.requestor.address)
            association.abort()

    def _closed(self, event: Event) -> None:
        self._files.discard_ended(event.assoc.dul)

    def _echo(self, event: Event) -> int:
        return SUCCESS

    def _store(self, event: Event) -> int:
        request = cast(Any, event.request)
        identity = Identity(str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        file = self._files.take(event.dataset_path)
        try:
            status, outcome = self._keep(file, identity, str(event.context.abstract_syntax))
        finally:
            file.discard()
        self._metrics.received.labels(outcome).inc()
        if status != SUCCESS:
            origin = event.assoc.requestor
            log.warning("an object from %s was refused with 0x%04X: %s", origin.address, status, outcome)
        elif outcome == "accepted":
            self._on_object()
        return status

    def _keep(self, file: IncomingFile, identity: Identity, abstract_syntax: str) -> tuple[int, str]:
        """Keep what was received. Returns the status of the answer, and the outcome for the metric and the log."""
        file.close()
        if file.fault:
            return _FAULTS[file.fault]
        try:
            return self._keep_received(file, identity, abstract_syntax)
        except sqlite3.Error:  # pynetdicom would answer with a failure that is final to some senders
            return OUT_OF_RESOURCES, "no room"

    def _keep_received(self, file: IncomingFile, identity: Identity, abstract_syntax: str) -> tuple[int, str]:
        if identity.sop_class == config.COMPREHENSIVE_3D_SR and self._ledger.is_result(identity.uid):
            return SUCCESS, "known"
        if identity.sop_class != abstract_syntax or identity.sop_class == config.COMPREHENSIVE_3D_SR:
            return WRONG_CLASS, "wrong class"
        try:
            if not is_uid(identity.uid) or dataset_identity(file.path) != identity:
                return WRONG_CLASS, "wrong class"
        except HeaderError:
            return CANNOT_UNDERSTAND, "unreadable"
        return self._commit(file, identity.uid)

    def _commit(self, file: IncomingFile, uid: str) -> tuple[int, str]:
        if self._ledger.state(uid) in {WAITING, ANSWERED, OWN} or self._ledger.is_result(uid):
            return SUCCESS, "known"
        try:
            self._spool.keep_object(file.path, uid)
        except OSError:
            return OUT_OF_RESOURCES, "no room"
        file.hand_over()
        try:
            added = self._ledger.add(uid)
        except sqlite3.Error:
            self._spool.drop_object(uid)
            return OUT_OF_RESOURCES, "no room"
        return SUCCESS, "accepted" if added else "known"
