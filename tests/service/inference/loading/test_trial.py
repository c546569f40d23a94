"""What a graph may take before it is served: memory and time are bounded, in this process or in another."""

import asyncio
import errno
import os
import resource
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, load_from_string

from contract.bundle import BundleError
from service.__main__ import FAILED, main
from service.access.keys import add_key, make_key
from service.inference.loading import trial
from service.inference.loading.trial import bounded_memory, memory_limit, try_in_another_process
from tests.bundles import brightness_graph, write_brightness_bundle
from tests.conftest import Connect, MakeService
from tests.drawings import encode
from tests.problems import assert_problem

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts what is allocated on Linux only"),
]
GREY = encode(np.full((200, 200), 102, np.uint8), "PNG")
TOO_MUCH = "take more than 1024 MiB of memory"


def doubling(times: int, output: str = "probability") -> bytes:
    """A graph of few bytes in which an image takes 160 kB, and then twice as much with each operator."""
    model = load_from_string(brightness_graph())
    nodes = model.graph.node
    last = next(node for node in nodes if output in node.output)
    last.output[:] = ["exact"]
    for number in range(times):
        before = f"twice{number - 1}" if number else "scaled"
        nodes.append(helper.make_node("Concat", [before, before], [f"twice{number}"], axis=3))
    kept = [0] if output == "probability" else [0, 1, 2]
    axes = [axis for axis in range(4) if axis not in kept]
    nodes.append(helper.make_node("ReduceMin", [f"twice{times - 1}"], ["least"], axes=axes, keepdims=0))
    if output == "heatmap":
        nodes.append(helper.make_node("ReduceMin", ["least"], ["one"], axes=[1, 2], keepdims=1))
    nodes.append(helper.make_node("Add", ["exact", "least" if output == "probability" else "one"], [output]))
    return bytes(model.SerializeToString())


def folded() -> bytes:
    """A graph in which 2.4 GB are computed from two numbers, when it is loaded."""
    model = load_from_string(brightness_graph())
    last = next(node for node in model.graph.node if "probability" in node.output)
    last.output[:] = ["exact"]
    model.graph.initializer.append(helper.make_tensor("half", TensorProto.FLOAT, [1], [0.5]))
    model.graph.initializer.append(helper.make_tensor("often", TensorProto.INT64, [1], [600_000_000]))
    model.graph.node.append(helper.make_node("Tile", ["half", "often"], ["large"]))
    model.graph.node.append(helper.make_node("ReduceMin", ["large"], ["least"], keepdims=0))
    model.graph.node.append(helper.make_node("Add", ["exact", "least"], ["probability"]))
    return bytes(model.SerializeToString())


HOSTILE = {
    "a probability": (doubling(13), TOO_MUCH),
    "a heatmap, which only /explain computes": (doubling(13, "heatmap"), TOO_MUCH),
    "a constant": (folded(), ""),
}


async def test_a_harmless_graph_passes() -> None:
    await try_in_another_process(brightness_graph(), "model.onnx", 4, 1)


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_graph_of_few_bytes_that_takes_gigabytes_is_refused(name: str) -> None:
    graph, words = HOSTILE[name]
    assert len(graph) < 4000
    with pytest.raises(BundleError, match=r"^model\.onnx: ") as refused:
        await try_in_another_process(graph, "model.onnx", 4, 1)
    assert words in str(refused.value)


async def test_a_graph_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "TRIAL_S", 0)
    monkeypatch.setattr(trial, "_START_S", 0)
    with pytest.raises(BundleError, match="longer than 0 s"):
        await try_in_another_process(brightness_graph(), "model.onnx", 1, 1)


async def test_a_machine_that_allows_no_process_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    with pytest.raises(BundleError, match=r"^model\.onnx: .* cannot be started: "):
        await try_in_another_process(brightness_graph(), "model.onnx", 1, 1)


async def test_a_graph_that_makes_onnxruntime_crash_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    crash = (
        sys.executable,
        "-c",
        "import os, signal, sys; sys.stdin.buffer.read(); os.kill(os.getpid(), signal.SIGSEGV)",
    )
    monkeypatch.setattr(trial, "command", lambda _: crash)
    with pytest.raises(BundleError, match="onnxruntime crashes with this graph"):
        await try_in_another_process(brightness_graph(), "model.onnx", 1, 1)


@pytest.mark.parametrize("name", HOSTILE)
def test_the_service_does_not_start_with_such_a_graph(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    folder = write_brightness_bundle(tmp_path / "brightness" / "1", HOSTILE[name][0])
    assert main(["serve", "--model", str(folder), "--device", "cpu", "--port", "0"]) == FAILED
    printed = capfd.readouterr().err
    assert printed.startswith("xray-service: model.onnx: ")
    assert printed.count("\n") == 1
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_the_limit_grows_with_the_batch_and_ends_with_the_context() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    assert (memory_limit(4), memory_limit(64)) == (2**30, 768 * 2**20 + 4 * 2**30)
    with bounded_memory(4):
        with pytest.raises(MemoryError):
            np.ones(2**31, np.uint8)
        np.ones(2**28, np.uint8)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


async def test_a_running_service_refuses_it_and_goes_on(
    make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    folder = tmp_path / "brightness"
    write_brightness_bundle(folder / "1")
    text, key = make_key("admin", ["admin", "predict"])
    add_key(tmp_path / "keys.json", key)
    service = make_service(model=folder, keys_file=tmp_path / "keys.json", model_control=True)
    write_brightness_bundle(folder / "2", doubling(13), version="2")
    headers = {"X-API-Key": text}
    async with connect(service) as client:
        post = client.post("/predict", content=GREY, headers=headers | {"Content-Type": "image/png"})
        load = client.post("/v2/repository/models/brightness/load", headers=headers)
        reload = client.post("/model/reload", headers=headers)
        answer, refused = await asyncio.gather(post, reload)
        assert answer.status_code == 200
        for each in (refused, await load):
            problem = assert_problem(each, 422, "unsound-model", *({"error"} & each.json().keys()))
            assert TOO_MUCH in problem["detail"]
        assert (await client.get("/health")).json()["model"]["version"] == "1"
