"""Connections of DICOM: TLS, and limits for each of them, those to a destination included.

pynetdicom reads a PDU of whatever length its header states, waits forever for the rest of one, does TLS handshakes one
after the other in the thread that accepts connections, and cannot abort an association that does not exist yet or no
longer. These classes replace its own.
"""

import contextlib
import logging
import queue
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

from pynetdicom.association import Association
from pynetdicom.fsm import TRANSITION_TABLE, StateMachine
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

log = logging.getLogger(__name__)

_LARGEST_OTHER_PDU = 1_048_576  # bytes; a request for an association may propose 128 presentation contexts
# Connections, with or without an association, as a multiple of the associations that are allowed.
_CONNECTIONS = 2
_ABORT_REQUEST = "Evt15"  # A-ABORT request primitive, PS3.8 table 9-10


class ClosingStateMachine(StateMachine):
    """Closes the connection where an abort is asked for and there is no association to abort.

    That is so before one was requested, and once it has been rejected or released. pynetdicom's thread ends with an
    exception there.
    """

    def do_action(self, event: str) -> None:
        """Do what the event asks for in the current state."""
        if event != _ABORT_REQUEST or (event, self.current_state) in TRANSITION_TABLE:
            super().do_action(event)
            return
        with contextlib.suppress(queue.Empty):  # one request can be announced twice: it is seen until somebody takes it
            self.dul.to_provider_queue.get(block=False)
        cast(AssociationSocket, self.dul.socket).close()


class BoundedSocket(AssociationSocket):
    """A socket that reads no PDU longer than allowed."""

    def recv(self, nr_bytes: int) -> bytearray:
        """Read this many bytes, or fewer if the connection ends.

        Raises:
            OSError: the PDU is too long, or nothing has arrived for the longest time allowed.
        """
        if nr_bytes > max(self.assoc.acceptor.maximum_length or 0, _LARGEST_OTHER_PDU):
            raise OSError("the PDU is longer than allowed")
        received, connection = bytearray(nr_bytes), cast(socket.socket, self.socket)
        count = 0
        with memoryview(received) as view:
            while count < nr_bytes and (read := connection.recv_into(view[count:])):
                count += read
        del received[count:]
        return received

    def _shutdown_socket(self) -> None:
        """Close the socket also if the peer has closed the connection: pynetdicom leaves it open then."""
        super()._shutdown_socket()
        if self.socket:
            self.socket.close()


def bound(association: Association, timeout_s: float) -> None:
    """Bound the connection of an association that this node has requested, once there is one.

    Args:
        association: the association.
        timeout_s: for so long at most the peer may leave what it sends or is sent unfinished.
    """
    connection = cast(AssociationSocket, association.dul.socket)
    connection.__class__ = BoundedSocket
    cast(socket.socket, connection.socket).settimeout(timeout_s)


class BoundedHandler(RequestHandler):
    """Makes the association of a connection."""

    def _create_association(self) -> Association:
        association = super()._create_association()
        # A second socket would announce the connection to the state machine a second time.
        cast(AssociationSocket, association.dul.socket).__class__ = BoundedSocket
        association.dul.state_machine = ClosingStateMachine(association.dul)
        return association


class BoundedServer(ThreadedAssociationServer):
    """Bounds the number of connections, and does each TLS handshake in a thread of its own."""

    daemon_threads = True
    request_queue_size = 128
    new_context: Callable[[], ssl.SSLContext | None]  # the TLS context for a new connection; None: no TLS

    def service_actions(self) -> None:
        """Look for renewed certificates, also while nobody connects. Called several times a second."""
        super().service_actions()
        self.ssl_context = self.new_context()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; a TLS handshake follows in ``process_request_thread``."""
        connection, address = cast(socket.socket, self.socket).accept()
        connection.settimeout(self.ae.network_timeout)
        if self.ssl_context:
            connection = self.ssl_context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether a connection is taken: not if there are too many already."""
        return len(self.active_associations) < _CONNECTIONS * self.ae.maximum_associations

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        try:
            if self.ssl_context:
                request.do_handshake()
        except OSError as error:  # no TLS, or a client certificate that is missing, expired or not trusted
            log.warning("a connection from %s was closed: TLS failed: %s", client_address[0], _reason(error))
            with contextlib.suppress(OSError):
                request.close()
        else:
            super().process_request_thread(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: the default prints a stack trace, and the connection is closed."""


def _reason(error: OSError) -> str:
    """Why a TLS handshake failed, in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or type(error).__name__).replace("_", " ").lower()
    return error.strerror or type(error).__name__
