"""The environment of a run is recorded, in a clone and in a container."""

import pytest

from training.fitting.environment import Environment


def test_without_git_the_revision_is_the_container_image_s_or_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")  # no git, as in the image
    monkeypatch.delenv("TRAINING_REVISION", raising=False)
    assert Environment.here().git_revision == "unknown"
    monkeypatch.setenv("TRAINING_REVISION", "0123abc")
    assert Environment.here().git_revision == "0123abc"
