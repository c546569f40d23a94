"""The settings and sockets of workers; tests/e2e/test_workers.py runs them."""

import os
import signal
import socket

import pytest

from service.settings import Settings
from service.workers.coordinator import Coordinator
from service.workers.parent import Parent, bind_sockets, worker_settings


def test_capacity_and_bytes_are_shared_out() -> None:
    share = worker_settings(Settings(workers=3, max_images=1, max_body_bytes=1, capacity=100, max_held_bytes=1000))
    assert (share.capacity, share.max_held_bytes) == (34, 334)


def test_every_worker_can_take_the_largest_request() -> None:
    settings = Settings(workers=64)
    share = worker_settings(settings)
    assert (share.capacity, share.max_held_bytes) == (settings.max_images, settings.max_body_bytes)


def test_every_address_of_a_host_name_is_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [*socket.getaddrinfo("127.0.0.1", 0, type=1), *socket.getaddrinfo("127.0.0.2", 0, type=1)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*found, *found])
    listeners = bind_sockets("both", 0)
    assert [listener.getsockname()[0] for listener in listeners] == ["127.0.0.1", "127.0.0.2"]
    for listener in listeners:
        listener.close()


def test_where_one_address_is_taken_the_others_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        found = [socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0] for host in ("127.0.0.1", "127.0.0.2")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        with pytest.raises(OSError, match="in use"):
            bind_sockets("both", port)  # one that it leaves open is a ResourceWarning, which fails the test


def test_a_worker_that_is_forked_while_the_end_begins_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signals are blocked in the main thread then, and the log's thread takes them."""
    settings, sent = Settings(workers=2), list[tuple[int, int]]()
    parent = Parent(settings, [], Coordinator(settings))
    monkeypatch.setattr(os, "kill", lambda *of: sent.append(of))

    def fork() -> int:
        parent._stop(signal.SIGTERM, None)
        return 12345

    monkeypatch.setattr(os, "fork", fork)
    assert parent._start(0) is None
    assert sent == [(12345, signal.SIGTERM)]
    assert parent._start(1) is None
    assert len(sent) == 1
