"""tools/train_on_gpu.sh: what it runs, in what order, and how it goes on after an interruption.

The interpreter is replaced by a program that notes what it is asked for and leaves the files of a run.
"""

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests import ROOT, commands
from tests.datasets import write_sources
from training.data.packing import pack

SCRIPT = ROOT / "tools" / "train_on_gpu.sh"
PROGRAMS = ("bash", "basename", "cat", "date", "dirname", "mkdir", "mktemp", "rm", "tar", "timeout", "touch")
PYTHON = """#!/bin/bash
echo "$@" >> "$NOTES"
while [ $# -gt 1 ]; do
  case $1 in
    --out | --resume) run=$2 ;;
    --data) [ ! -f "$2" ] || cat "$2" >> "$NOTES.data" ;;
  esac
  shift
done
[ -n "$run" ] || exit 0
mkdir -p "$run"
touch "$run/config.json" "$run/averaged.keras"
[ "$STOPS" = before ] || touch "$run/history.json" "$run/epoch-001.keras"
[ -z "$STOPS" ] && touch "$run/evaluation.json"
"""


class Machine:
    """A machine with few programs, and what was asked of its interpreter."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs, self.notes = folder, folder / "bin", folder / "notes"
        self.programs.mkdir()
        for name in PROGRAMS:
            (self.programs / name).symlink_to(shutil.which(name) or pytest.skip(f"no {name}"))
        self.add("python3", PYTHON)
        (folder / "data").mkdir()

    def add(self, name: str, script: str) -> None:
        """Install a program."""
        (self.programs / name).write_text(script)
        (self.programs / name).chmod(0o755)

    def call(self, *arguments: object, stops: str = "") -> subprocess.CompletedProcess[str]:
        """Call the script from this folder."""
        environment = {"PATH": str(self.programs), "NOTES": str(self.notes), "STOPS": stops}
        command = ["bash", SCRIPT, "--own-packages", *arguments]
        return commands.run(command, cwd=self.folder, env={**environment, "TMPDIR": str(self.folder)})

    def trainings(self) -> list[str]:
        """The trainings since the last call of this, without where their data are."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        self.notes.unlink(missing_ok=True)
        trainings = [line.partition("--cache")[2].partition(" ")[2].partition(" ")[2] for line in lines]
        return [training.replace(str(self.folder), "HERE") for training in trainings if training]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_second_run_begins_with_the_weights_of_the_first(machine: Machine) -> None:
    ended = machine.call("--dry-run", "--data", "data", "--out", "runs", "--", "--batch", "8")
    assert (ended.returncode, ended.stderr) == (0, "")
    first, second = machine.trainings()
    once = "--epochs 1 --average-epochs 1 --batch 8"
    assert first == f"--out HERE/runs/first --recipe pretrained --epochs 40 {once}"
    assert second.startswith("--out HERE/runs/second --recipe pretrained --start HERE/runs/first --epochs 60 ")
    assert second.endswith(once)
    with tarfile.open(machine.folder / "runs" / "second.tar") as archive:
        names = set(archive.getnames())
    assert names == {"second"} | {f"second/{name}" for name in ("config.json", "history.json", "evaluation.json")} | {
        "second/averaged.keras"
    }
    assert machine.call("--dry-run", "--data", "data", "--out", "runs").returncode == 0
    assert machine.trainings() == []


@pytest.mark.parametrize("stops", ["before", "after"])  # before, or after the first epoch is done
def test_the_same_call_continues(machine: Machine, stops: str) -> None:
    ended = machine.call("--dry-run", "--data", "data", "--out", "runs", stops=stops)
    assert ended.returncode == 1
    assert ended.stderr == "train_on_gpu.sh: not complete; the same call continues after the last finished epoch\n"
    assert len(machine.trainings()) == 1
    with tarfile.open(machine.folder / "runs" / "first.tar") as archive:
        assert ("first/epoch-001.keras" in archive.getnames()) == (stops == "after")
    assert machine.call("--dry-run", "--data", "data", "--out", "runs").returncode == 0
    first, second = machine.trainings()
    assert first.startswith("--resume HERE/runs/first" if stops == "after" else "--out HERE/runs/first")
    assert second.startswith("--out HERE/runs/second")


def test_archives_are_unpacked(machine: Machine, tmp_path: Path) -> None:
    listed = write_sources(tmp_path / "sources")
    parts = pack(listed, tmp_path / "packed", 100_000)
    ended = machine.call("--dry-run", *(word for part in parts for word in ("--data", part)), "--out", "runs")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert '"folder":"clinic"' in Path(f"{machine.notes}.data").read_text().replace(" ", "")


@pytest.mark.parametrize(
    ("nvidia_smi", "arguments", "words"),
    [
        (None, ["--data", "data"], "no NVIDIA driver: nvidia-smi is not installed"),
        ("echo has failed; exit 9", ["--data", "data"], "no NVIDIA GPU: nvidia-smi reports: has failed"),
        (None, [], "--data is missing"),
        (None, ["--data"], "--data needs a value"),
        (None, ["--data", "data", "--minutes", "1.5"], "--minutes must be a whole number, not 1.5"),
        (None, ["--data", "data", "--dry-run", "--wheels", "data/none"], "no such folder"),
        (None, ["--epochs", "3"], "unknown option --epochs"),
    ],
)
def test_what_cannot_be_begun_is_said(
    machine: Machine, nvidia_smi: str | None, arguments: list[str], words: str
) -> None:
    if nvidia_smi:
        machine.add("nvidia-smi", f"#!/bin/bash\n{nvidia_smi}\n")
    ended = machine.call(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("train_on_gpu.sh: ")
    assert ended.stderr.endswith(f"{words}\n")


def test_a_machine_whose_jax_finds_no_gpu_is_told(machine: Machine) -> None:
    machine.add("nvidia-smi", "#!/bin/bash\necho 580.65.06\n")
    machine.add("python3", "#!/bin/bash\nexit 1\n")
    ended = machine.call("--data", "data")
    assert (ended.returncode, ended.stderr) == (2, "train_on_gpu.sh: JAX finds no GPU\n")
