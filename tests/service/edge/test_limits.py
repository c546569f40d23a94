"""The limits of connections, as far as the system allows them."""

import logging

import pytest

from service.edge import limits
from service.settings import Settings


@pytest.mark.parametrize(("descriptors", "connections"), [(10_000, 2048), (1128, 1000), (64, 1)])
def test_no_more_connections_than_files_may_be_open(
    descriptors: int, connections: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "_descriptors", lambda wanted: min(wanted, descriptors))
    with caplog.at_level(logging.WARNING):
        assert limits.limits_of(Settings()).connections == connections
    assert [vars(record)["connections"] for record in caplog.records] == [connections][: connections < 2048]
