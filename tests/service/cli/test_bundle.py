"""``bundle check`` passes no bundle that the service would not serve."""

import math
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from service.__main__ import DONE, FAILED, main
from tests.bundles import GUARD, brightness_graph, write_brightness_bundle


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (lambda: brightness_graph(full=math.nan), "its probability of a blank image is not within 0..1"),
        (lambda: _renamed(brightness_graph(), "probability"), "it must have an output probability: float32"),
        (lambda: _renamed(brightness_graph(), "heatmap"), "it must have an output heatmap: float32"),
        (brightness_graph, "its guard needs an output features: float32 [N, 2]"),
    ],
)
def test_outputs_that_the_service_does_not_accept_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], graph: Callable[[], bytes], words: str
) -> None:
    guard = GUARD if graph is brightness_graph else None
    folder = write_brightness_bundle(tmp_path / "1", graph=graph(), input_guard=guard)
    assert main(["bundle", "check", str(folder)]) == FAILED
    assert words in capsys.readouterr().err


def _renamed(graph: bytes, output: str) -> bytes:
    """A graph whose output has another name."""
    model = onnx.load_from_string(graph)
    for node in model.graph.node:
        node.output[:] = ["other" if name == output else name for name in node.output]
    next(value for value in model.graph.output if value.name == output).name = "other"
    return bytes(model.SerializeToString())


def test_a_bundle_with_a_guard_passes(tmp_path: Path) -> None:
    folder = write_brightness_bundle(tmp_path / "1", graph=brightness_graph(features=2), input_guard=GUARD)
    assert main(["bundle", "check", str(folder)]) == DONE
