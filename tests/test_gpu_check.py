"""benchmarks/gpu.sh: without a GPU it says so; its checks are tested with a fake CUDA session."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu import broken
from benchmarks.gpu_graph import graph_figures
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
    for name in ("bash", "dirname"):
        (folder / name).symlink_to(shutil.which(name) or pytest.skip(f"no {name}"))
    if nvidia_smi is not None:
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{nvidia_smi}\n")
        (folder / "nvidia-smi").chmod(0o755)
    command = [str(ROOT / "benchmarks" / "gpu.sh"), "--venv", str(folder / "venv"), *arguments]
    ended = commands.run(["bash", *command], env={"PATH": str(folder)})
    assert not (folder / "venv").exists()
    return ended


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
    monkeypatch.setattr("benchmarks.gpu_graph.used_mib", lambda: 0.0)
    monkeypatch.setattr("benchmarks.gpu.WARM", float("inf"))
    monkeypatch.setenv("XRAY_MAX_BATCH", "6")
    pixels = np.stack([to_pixels(jpeg(seed)) for seed in range(3)])
    figures = graph_figures(brightness_bundle(), pixels, runs=2)
    assert broken(figures, SERVED, EXPECTED) == []
    assert {1, 2, 3, 5, 6} <= {int(size) for size in figures["speed"]}
