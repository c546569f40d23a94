"""benchmarks/gpu.sh: without a GPU it says so; its checks are tested with a fake CUDA session."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu import broken
from benchmarks.on_gpu.graph import graph_figures
from benchmarks.on_gpu.service import memory_bytes, over_decoding
from contract.image import to_pixels
from service.inference.session import CPU, CUDA
from tests import ROOT, commands
from tests.bundles import brightness_bundle
from tests.drawings import jpeg
from tests.fakes import pretend_cuda

HOLDS: dict[str, Any] = {
    "provider": CUDA,
    "probability_cuda_from_cpu": 1e-6,
    "probability_in_a_batch_from_alone": {"1": 0.0, "2": 1e-7},
    "speed": {"1": {"first_ms": 4.0, "p99_ms": 2.0}},
}
SERVED: dict[str, Any] = {"providers": [CUDA], "health": {"provider": CUDA}, "probabilities": [0.25, 0.5]}
EXPECTED = np.array([0.25, 0.5], np.float32)


def run(folder: Path, nvidia_smi: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script with this nvidia-smi and no other; it must stop before it creates an environment."""
    link(folder, "bash", "dirname")
    if nvidia_smi is not None:
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{nvidia_smi}\n")
        (folder / "nvidia-smi").chmod(0o755)
    command = [str(ROOT / "benchmarks" / "gpu.sh"), "--venv", str(folder / "venv"), *arguments]
    ended = commands.run(["bash", *command], env={"PATH": str(folder)})
    assert not (folder / "venv").exists()
    return ended


def link(folder: Path, *programs: str) -> None:
    """Make programs available in a folder."""
    for name in programs:
        (folder / name).symlink_to(shutil.which(name) or pytest.skip(f"no {name}"))


def test_a_dry_run_needs_no_gpu_and_takes_the_steps_of_a_real_one(tmp_path: Path) -> None:
    """The interpreter of the environment is replaced by a program that prints what it is asked for."""
    link(tmp_path, "bash", "dirname", "mktemp", "date", "rm")
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "venv" / "bin" / "python").chmod(0o755)
    command = [str(ROOT / "benchmarks" / "gpu.sh"), "--dry-run", "--venv", str(tmp_path / "venv"), "--runs", "1"]
    ended = commands.run(["bash", *command], env={"PATH": str(tmp_path), "OUT": "/out", "TMPDIR": str(tmp_path)})
    installed, measured = ended.stdout.splitlines()
    assert installed.endswith("--require-hashes -r requirements/cpu.txt")
    assert measured.startswith("benchmarks/gpu.py --result /out/")
    assert measured.endswith("-gpu-dry-run.json --dry-run --runs 1")


def test_the_check_runs_where_the_packages_of_the_tests_are_not_installed() -> None:
    """The environment of gpu.sh has those of the service alone."""
    source = "import sys; sys.modules['pytest'] = sys.modules['hypothesis'] = None; import benchmarks.gpu"
    ended = commands.run([sys.executable, "-c", source], cwd=ROOT)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("total_mib", "workers", "found"), [(81559, 15, 4 << 30), (24000, 15, 840 << 20), (8000, 15, 256 << 20)]
)
def test_workers_side_by_side_share_the_memory_of_the_gpu(total_mib: float, workers: int, found: int) -> None:
    assert memory_bytes(total_mib, workers) == found


def test_rates_are_compared_with_decoding_where_both_were_measured() -> None:
    swept = {"connections": 128, "1 workers": {"per_second": [750.0, 700.0, 800.0]}}
    figures = {"decoded_per_s": 1000.0, "workers_cpu": "failed: no", "workers_cuda": swept}
    assert over_decoding(figures) == {"cuda": {"1 workers": 0.75}}
    assert over_decoding(figures | {"decoded_per_s": "failed: no"}) == {}


@pytest.mark.parametrize(
    ("nvidia_smi", "arguments", "words"),
    [
        (None, [], "no NVIDIA driver: nvidia-smi is not installed"),
        (
            "echo NVIDIA-SMI has failed; echo more; exit 9",
            [],
            "no NVIDIA GPU: nvidia-smi reports: NVIDIA-SMI has failed",
        ),
        ("echo 580.65.06", ["--cuda", "11"], "--cuda must be 12 or 13, not 11"),
        ("echo 580.65.06", ["--wheels"], "--wheels needs a value"),
    ],
)
def test_without_a_usable_gpu_the_script_says_why(
    tmp_path: Path, nvidia_smi: str | None, arguments: list[str], words: str
) -> None:
    ended = run(tmp_path, nvidia_smi, *arguments)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"gpu.sh: {words}\n")


@pytest.mark.parametrize(
    ("graph", "served", "words"),
    [
        ({}, {}, []),
        ({"provider": CPU}, {}, ["CUDA runs the model, and says so"]),
        ({}, {"providers": [CPU, CUDA]}, ["CUDA runs the model, and says so"]),
        ({}, {"health": {"provider": CPU}}, ["CUDA runs the model, and says so"]),
        ({"probability_cuda_from_cpu": 2e-4}, {}, ["probabilities of CUDA and CPU are no more than 0.0001 apart"]),
        (
            {"probability_cuda_from_cpu": float("nan")},
            {},
            ["probabilities of CUDA and CPU are no more than 0.0001 apart"],
        ),
        ({}, {"probabilities": [0.25, 0.51]}, ["those of the service and of a CPU are no more than 0.0001 apart"]),
        (
            {"probability_in_a_batch_from_alone": {"1": 0.0, "2": float("nan")}},
            {},
            ["an image's probability in a batch and alone are no more than 1e-05 apart"],
        ),
        (
            {"speed": {"1": {"first_ms": 4.0, "p99_ms": 2.0}, "8": {"first_ms": 900.0, "p99_ms": 3.0}}},
            {},
            ["every size of batch is warm before it is needed (not: 8)"],
        ),
    ],
)
def test_a_failed_check_is_named(graph: dict[str, Any], served: dict[str, Any], words: list[str]) -> None:
    assert broken(HOLDS | graph, SERVED | served, EXPECTED) == words


def test_a_correct_session_passes_all_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cuda(monkeypatch)
    monkeypatch.setattr("benchmarks.on_gpu.graph.used_mib", lambda: 0.0)
    monkeypatch.setattr("benchmarks.gpu.WARM", float("inf"))
    monkeypatch.setenv("XRAY_MAX_BATCH", "6")
    pixels = np.stack([to_pixels(jpeg(seed)) for seed in range(3)])
    figures = graph_figures(brightness_bundle(), pixels, runs=2)
    assert broken(figures, SERVED, EXPECTED) == []
    assert {1, 2, 3, 5, 6} <= {int(size) for size in figures["speed"]}
