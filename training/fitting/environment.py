"""The environment of a run: the code's revision and the packages' versions."""

import os
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

_PACKAGES = (
    "jax",
    "keras",
    "numpy",
    "onnx",
    "onnxruntime",
    "pillow",
    "scikit-learn",
    "tensorflow",
    "tensorflow-cpu",
    "tf2onnx",
    "torch",
)
_UNKNOWN = "unknown"


class Environment(BaseModel):
    """``environment.json`` of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    git_revision: str
    packages: dict[str, str]

    @classmethod
    def here(cls) -> Self:
        """The environment of this process."""
        return cls(git_revision=_git_revision(), packages={name: v for name in _PACKAGES if (v := _version(name))})


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_revision() -> str:
    """``git describe`` of this code, ``-dirty`` if it was changed; without a clone, the container image's revision."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("TRAINING_REVISION", _UNKNOWN)
    return done.stdout.strip()
