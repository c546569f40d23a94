"""The settings and sockets of workers; tests/e2e/test_workers.py runs them."""

import socket

import pytest

from service.settings import Settings
from service.workers.parent import bind_sockets, worker_settings


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
