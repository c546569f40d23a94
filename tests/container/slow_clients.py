"""Slow clients that send a byte every ten seconds, and a good client, which they should not slow down.

    python3 tests/container/slow_clients.py HOST PORT IMAGE

Prints one line of JSON. Exits with 1 if a slow client is still connected at the end, or if the good client's median
latency is more than twice that without them. Half of them are slow in the header of a request, half in its body.
"""

import contextlib
import json
import socket
import ssl
import statistics
import sys
import threading
import time
from http.client import HTTPSConnection
from pathlib import Path

SLOW, INTERVAL_S, DURATION_S, REQUESTS = 300, 10.0, 30.0, 40
_HEADER = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n"


def tls() -> ssl.SSLContext:
    """A context that accepts the self-signed certificate of this test."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def good_client(host: str, port: int, image: bytes) -> list[float]:
    """Latency of each of ``REQUESTS`` predictions over one connection, in seconds."""
    connection, took = HTTPSConnection(host, port, context=tls(), timeout=20), []
    for _ in range(REQUESTS):
        began = time.monotonic()
        connection.request("POST", "/predict", image, {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"the good client got {answer.status}")
        took.append(time.monotonic() - began)
    return took


def connect(host: str, port: int) -> socket.socket:
    """A connection over TLS."""
    return tls().wrap_socket(socket.create_connection((host, port), timeout=20), server_hostname=host)


def dribble(connection: socket.socket, in_body: bool, began: float, closed: list[float]) -> None:
    """Send a byte every ten seconds until the connection is closed; add the seconds since ``began`` to ``closed``."""
    with contextlib.suppress(OSError):
        connection.sendall(_HEADER if in_body else _HEADER[:40])
        while time.monotonic() - began < DURATION_S:
            connection.settimeout(INTERVAL_S)
            with contextlib.suppress(TimeoutError):
                if connection.recv(4096) == b"":
                    break
            connection.sendall(b"x")
        else:
            return
    closed.append(time.monotonic() - began)


def main() -> int:
    """Measure without and then with the slow clients, and wait until they are disconnected."""
    host, port, image = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]).read_bytes()
    good_client(host, port, image)
    quiet = good_client(host, port, image)
    closed: list[float] = []
    connections = [connect(host, port) for _ in range(SLOW)]
    began = time.monotonic()  # to connect takes long on a busy machine
    threads = [
        threading.Thread(target=dribble, args=(connection, number % 2 == 0, began, closed), daemon=True)
        for number, connection in enumerate(connections)
    ]
    for thread in threads:
        thread.start()
    beside = good_client(host, port, image)
    connected = sum(thread.is_alive() for thread in threads)
    for thread in threads:
        thread.join(DURATION_S + INTERVAL_S)
    quiet_s, beside_s = statistics.median(quiet), statistics.median(beside)
    figures = {
        "quiet_median_ms": round(1e3 * quiet_s, 1),
        "median_beside_ms": round(1e3 * beside_s, 1),
        "ratio": round(beside_s / quiet_s, 2),
        "slow_clients": SLOW,
        "connected_when_measured": connected,
        "closed": len(closed),
        "last_closed_after_s": round(max(closed, default=0), 1),
    }
    print(json.dumps(figures))
    return 0 if len(closed) == SLOW and beside_s <= 2 * quiet_s else 1


if __name__ == "__main__":
    sys.exit(main())
