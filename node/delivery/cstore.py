"""Sends results by C-STORE."""

import ssl
from pathlib import Path

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from node.config import COMPREHENSIVE_3D_SR, SECONDARY_CAPTURE, ConfigError, CStore, Tls
from node.delivery.outcomes import Outcome, Sender, Unavailable, Verdict, outcome_of
from node.storage.records import Delivery

_RESULT_CLASSES = (COMPREHENSIVE_3D_SR, SECONDARY_CAPTURE)


class CStoreSender:
    """One association for all results that are due.

    Args:
        destination: whom to send to.

    Raises:
        ConfigError: the certificates cannot be loaded.
    """

    def __init__(self, destination: CStore) -> None:
        self._destination, self._tls = destination, client_context(destination.tls)
        self._association: Association | None = None

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
        tls = (self._tls, to.address) if self._tls else None
        try:
            association = entity.associate(to.address, to.port, ae_title=to.ae_title, tls_args=tls)
        except OSError as error:  # its name cannot be resolved, for example while the hospital's DNS is down
            raise Unavailable(error.strerror or type(error).__name__) from None
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

    def send(self, delivery: Delivery, path: Path) -> Outcome:
        """Send one result.

        Raises:
            Unavailable: the association was lost before an answer came.
        """
        if self._association is None or not self._association.is_established:
            raise Unavailable("the association was lost")
        try:
            response = self._association.send_c_store(path)
        except ValueError:  # no accepted presentation context; its message quotes the data set
            return Outcome(Verdict.NEVER, "the SOP class of this result is not accepted")
        if "Status" not in response:
            raise Unavailable("the association was lost, or no answer came in time")
        return outcome_of(int(response.Status))


def client_context(section: Tls | None) -> ssl.SSLContext | None:
    """The TLS context for a destination; None: no TLS.

    Raises:
        ConfigError: the certificates cannot be loaded.
    """
    if section is None:
        return None
    try:
        context = ssl.create_default_context(cafile=section.ca_file)
        if section.certificate:
            context.load_cert_chain(section.certificate, section.key)
    except OSError as error:  # includes SSLError
        raise ConfigError(f"destination: the certificates cannot be loaded: {error.strerror}") from None
    return context
