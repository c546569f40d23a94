"""Fixtures of the tests of the node."""

import contextlib
import socket

import pytest
from pynetdicom.transport import AssociationSocket


@pytest.fixture(autouse=True)
def _closed_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers made by pynetdicom leave a socket open that the node has closed, and pytest reports it."""

    def close(self: AssociationSocket) -> None:
        if isinstance(self.socket, socket.socket):
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()

    monkeypatch.setattr(AssociationSocket, "_shutdown_socket", close)
