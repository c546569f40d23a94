"""A connection during its TLS handshake: it counts and has a deadline like any other connection.

asyncio announces a connection only after the handshake. Until then nothing would bound it but asyncio's 60 seconds.
"""

import asyncio
import socket
import ssl
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from service.edge.connection import Connection
from service.edge.phase import Phase
from service.edge.shared import Edge


class Handshake:
    """Among the connections of a server, one whose handshake is in progress: it waits for its first request.

    Args:
        edge: the state shared by all connections.
        task: carries the handshake out; it is cancelled at the deadline.
    """

    phase = Phase.IDLE

    def __init__(self, edge: Edge, task: "asyncio.Task[Any]") -> None:
        self._task = task
        self.idle_since = asyncio.get_running_loop().time()
        self.deadline = self.idle_since + edge.limits.header_s

    def on_deadline(self) -> None:
        """The deadline has passed, or there are so many connections that idle ones are closed early."""
        self._task.cancel()

    def shutdown(self) -> None:
        """Close at once: no request has arrived. uvicorn calls this at shutdown."""
        self._task.cancel()

    def start(self) -> None:
        """Begin the drain: there is no request that could be passed to the application."""


async def accept(
    accepted: socket.socket,
    context: ssl.SSLContext,
    edge: Edge,
    config: Config,
    state: tuple[ServerState, dict[str, Any]],
) -> None:
    """Make a ``Connection`` of an accepted socket, after its TLS handshake. Call it in a task of its own.

    Args:
        accepted: the socket, non-blocking.
        context: the TLS context of the server.
        edge: the state shared by all connections.
        config: uvicorn's configuration, with the application.
        state: uvicorn's sets of connections and tasks, and the state of ASGI's lifespan.

    Raises:
        OSError: the handshake has failed, or the client has disconnected.
    """
    connections = cast(set[Any], state[0].connections)
    if not edge.admits(connections):
        accepted.close()
        return
    handshake = Handshake(edge, cast("asyncio.Task[Any]", asyncio.current_task()))
    connections.add(handshake)

    connection = Connection(edge, config, *state, handshake=handshake)
    try:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, accepted, ssl=context)
    except asyncio.CancelledError:
        accepted.close()
        if connection in connections:  # uvloop closes one that has just been made without telling it
            connection.connection_lost(None)
        raise
    finally:
        connections.discard(handshake)
