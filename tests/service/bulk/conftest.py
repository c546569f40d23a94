"""Fixtures of the tests of ``bulk``."""

import pytest

from tests.service.bulk.runs import run_here


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, untried: None) -> None:
    """Parts are done in this process, and the model is not tried out in another one: both take a second each time."""

    async def nothing(*_: object) -> None: ...

    monkeypatch.setattr("service.bulk.command._engine", lambda name: run_here)
    monkeypatch.setattr("service.inference.model.try_bundle", nothing)
