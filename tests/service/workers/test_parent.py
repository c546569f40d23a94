"""What each of several workers gets; what they do is in tests/e2e/test_workers.py."""

import socket

import pytest

from service.settings import Settings
from service.workers.parent import divided, listen_at


def test_seats_and_bytes_are_divided() -> None:
    share = divided(Settings(workers=3, max_images=1, max_body_bytes=1, capacity=100, max_held_bytes=1000))
    assert (share.capacity, share.max_held_bytes) == (34, 334)


def test_the_largest_request_fits_into_any_worker() -> None:
    settings = Settings(workers=64)
    share = divided(settings)
    assert (share.capacity, share.max_held_bytes) == (settings.max_images, settings.max_body_bytes)


def test_a_name_with_several_addresses_is_listened_at_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [*socket.getaddrinfo("127.0.0.1", 0, type=1), *socket.getaddrinfo("127.0.0.2", 0, type=1)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*found, *found])
    listeners = listen_at("both", 0)
    assert [listener.getsockname()[0] for listener in listeners] == ["127.0.0.1", "127.0.0.2"]
    for listener in listeners:
        listener.close()
