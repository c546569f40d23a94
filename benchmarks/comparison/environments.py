"""The virtual environments of the peers, created when they are first needed."""

import subprocess
import sys
from pathlib import Path

from benchmarks.comparison.contenders import OURS, PEERS, python_of
from tests import ROOT

ENVIRONMENTS = ROOT / "benchmarks" / ".peers"


class NoEnvironment(Exception):
    """A peer could not be installed; the message is the last line of the installer's output."""


def prepare(name: str, folder: Path) -> Path:
    """Install a contender if necessary. Returns the Python of its environment.

    Args:
        name: of the contender.
        folder: of all environments, one subfolder per peer.

    Raises:
        NoEnvironment: the installation failed.
    """
    python = python_of(name, folder)
    if name == OURS:
        return python
    wanted, installed = PEERS / name / "requirements.txt", folder / name / "installed.txt"
    if not installed.exists() or installed.read_text() != wanted.read_text():
        print(f"installing {name} into {folder / name}", file=sys.stderr)
        _run([sys.executable, "-m", "venv", "--clear", str(folder / name)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(wanted)])
        installed.write_text(wanted.read_text())
    return python


def versions(name: str) -> dict[str, str]:
    """The packages of a peer: version by name."""
    lines = (PEERS / name / "requirements.txt").read_text().split()
    return dict(line.split("==", 1) for line in lines)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        output = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise NoEnvironment(output[-1])
