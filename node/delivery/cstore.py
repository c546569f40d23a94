"""Sends results by C-STORE."""

from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association

from node.config import COMPREHENSIVE_3D_SR, SECONDARY_CAPTURE, CStore
from node.credentials import client_tls
from node.delivery.outcomes import DAMAGED, Interrupted, Outcome, Sender, Unavailable, Verdict, outcome_of
from node.header import content_identity
from node.storage.records import Delivery
from node.transport import bound

_RESULT_CLASSES = (COMPREHENSIVE_3D_SR, SECONDARY_CAPTURE)


class CStoreSender:
    """One association for all results that are due.

    Args:
        destination: whom to send to.

    Raises:
        ConfigError: the certificates cannot be loaded.
    """

    def __init__(self, destination: CStore) -> None:
        self._destination, self._tls = destination, client_tls(f"destination {destination.name}", destination.tls)
        self._association: Association | None = None

    def check(self) -> str:
        """Look for renewed certificates; see ``Sender``."""
        self._tls.current()
        return self._tls.fault

    def __enter__(self) -> Sender:
        """Request the association.

        Raises:
            Unavailable: the destination is down, or rejects it.
        """
        to, entity = self._destination, AE(self._destination.calling_ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = to.timeout_s
        entity.connection_timeout = min(10.0, to.timeout_s)
        for sop_class in _RESULT_CLASSES:
            for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
                entity.add_requested_context(sop_class, syntax)
        context = self._tls.current()
        tls = (context, to.address) if context else None
        try:
            handlers: list[Any] = [(evt.EVT_CONN_OPEN, lambda event: bound(event.assoc, to.timeout_s))]
            association = entity.associate(
                to.address, to.port, ae_title=to.ae_title, tls_args=tls, evt_handlers=handlers
            )
        except OSError as error:  # its name cannot be resolved, for example while the hospital's DNS is down
            raise Unavailable(error.strerror or type(error).__name__) from None
        except RuntimeError as error:  # no more threads
            raise Unavailable(str(error)) from None
        if association.is_rejected:
            raise Unavailable("the association was rejected (AE titles, or too many associations)")
        if not association.is_established:
            raise Unavailable("no association (not reachable, or TLS failed)")
        self._association = association
        return self

    def __exit__(self, *_exception: object) -> None:
        """Release the association."""
        if self._association and self._association.is_established:
            self._association.release()
        self._association = None

    def send(self, delivery: Delivery, content: bytes) -> Outcome:
        """Send one result.

        Raises:
            Unavailable: the association was lost before.
            Interrupted: it was lost before an answer came.
        """
        dataset = _read(content)
        if dataset is None:
            return DAMAGED
        if self._association is None or not self._association.is_established:
            raise Unavailable("the association was lost")
        try:
            response = self._association.send_c_store(dataset)
        except ValueError:  # no accepted presentation context; its message quotes the data set
            return Outcome(Verdict.NEVER, "the SOP class of this result is not accepted")
        except RuntimeError:  # the association has ended since it was looked at
            raise Interrupted("the association was lost") from None
        if "Status" not in response:
            raise Interrupted("the association was lost, or no answer came in time")
        return outcome_of(int(response.Status))


def _read(content: bytes) -> Dataset | None:
    """The data set of a file; None: it is damaged."""
    try:
        content_identity(content)
        dataset = dcmread(BytesIO(content))
        return dataset if dataset.get("SOPInstanceUID") and dataset.get("SOPClassUID") else None
    except Exception:  # pydicom raises what it meets in a damaged file, and its messages may quote the file
        return None
