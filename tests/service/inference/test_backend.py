"""The backend returns one row per image, and accepts only graphs that match the contract."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from contract.bundle import INT8_GRAPH, Bundle, BundleError
from service.inference.backend import OnnxBackend
from service.inference.session import CUDA, Cuda, open_session
from tests.bundles import GUARD, brightness_bundle, brightness_graph
from tests.fakes import ONE_THREAD, pretend_cuda

ON_CUDA = Cuda(max_batch=8, memory_bytes=2**30, tf32=False)


def loaded(bundle: Bundle, *, guarded: bool = True) -> OnnxBackend:
    return OnnxBackend(bundle, open_session(bundle, "cpu", "auto", ONE_THREAD, ON_CUDA), guarded=guarded)


def flat(*levels: int) -> NDArray[np.uint8]:
    return np.stack([np.full((200, 200, 1), level, np.uint8) for level in levels])


def test_it_returns_one_probability_per_image() -> None:
    outputs = loaded(brightness_bundle()).predict(flat(0, 51, 204))
    assert outputs.probability == pytest.approx([0, 0.2, 0.8], abs=1e-4)
    assert outputs.guard_score is None


def test_the_heatmap_is_computed_only_on_request() -> None:
    backend = loaded(brightness_bundle())
    image = flat(51)
    image[0, :100, 100:] = 255
    assert backend.predict(image).heatmap is None
    heatmap = backend.predict(image, explain=True).heatmap
    assert heatmap is not None
    assert heatmap.shape == (1, 8, 8)
    assert heatmap[0] == pytest.approx(np.kron([[0.2, 1], [0.2, 0.2]], np.ones((4, 4))), abs=1e-5)


def test_the_guard_scores_each_row_by_its_own_features() -> None:
    backend = loaded(brightness_bundle(brightness_graph(features=2), input_guard=GUARD))
    levels = (51, 0, 204, 255)
    together = backend.predict(flat(*levels)).guard_score
    assert together is not None
    assert together.shape == (4,)
    for score, level in zip(together, levels, strict=True):
        alone = backend.predict(flat(level)).guard_score
        assert alone is not None
        by_hand = np.sqrt((((level / 255 - 0.4) / 0.1) ** 2 + ((1 - 0.5) / 0.1) ** 2) / 2) if level else np.inf
        assert (score, score) == pytest.approx((alone[0], by_hand), abs=1e-3)


def test_no_scores_are_computed_for_a_guard_that_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.inference.backend.Statistics", lambda _: pytest.fail("distances are computed"))
    backend = loaded(brightness_bundle(brightness_graph(features=2), input_guard=GUARD), guarded=False)
    assert backend.predict(flat(51)).guard_score is None


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("features", [0, 1, 3])
def test_a_graph_without_the_features_of_its_guard_is_refused(features: int, guarded: bool) -> None:
    bundle = brightness_bundle(brightness_graph(features=features), input_guard=GUARD)
    with pytest.raises(BundleError, match=r"^model\.onnx: its guard needs an output features: float32 \[N, 2\]$"):
        loaded(bundle, guarded=guarded)


def test_an_int8_graph_needs_the_features_too() -> None:
    graphs = brightness_graph(features=2), brightness_graph()
    with pytest.raises(BundleError, match=r"^model\.int8\.onnx: its guard needs"):
        loaded(brightness_bundle(*graphs, input_guard=GUARD, cpu_graph=INT8_GRAPH))


def test_features_without_a_guard_are_ignored() -> None:
    assert loaded(brightness_bundle(brightness_graph(features=3))).predict(flat(51)).guard_score is None


BROKEN = {
    "garbage": (b"not a graph", "cannot load"),
    "cut": (brightness_graph()[:200], "cannot load"),
    "float input": (brightness_graph(input_type=TensorProto.FLOAT), "uint8"),
    "fixed batch": (brightness_graph(batch=1), "N dynamic"),
}


@pytest.mark.parametrize(("graph", "words"), BROKEN.values(), ids=BROKEN)
def test_a_graph_that_breaks_the_contract_is_refused(graph: bytes, words: str) -> None:
    with pytest.raises(BundleError, match=rf"^model\.onnx: .*{words}"):
        loaded(brightness_bundle(graph))


@pytest.mark.parametrize(("graph", "words"), BROKEN.values(), ids=BROKEN)
def test_an_int8_graph_that_breaks_the_contract_is_refused(graph: bytes, words: str) -> None:
    bundle = brightness_bundle(int8_graph=graph, cpu_graph=INT8_GRAPH)
    with pytest.raises(BundleError, match=rf"^model\.int8\.onnx: .*{words}"):
        loaded(bundle)


def test_concurrent_calls_each_get_their_own_rows() -> None:
    backend = loaded(brightness_bundle(brightness_graph(features=2), input_guard=GUARD))
    levels = range(5, 255, 5)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda level: backend.predict(flat(level, 255), explain=level % 2 == 0), levels))
    assert [outputs.probability[0] for outputs in found] == pytest.approx([level / 255 for level in levels], abs=1e-4)
    assert [outputs.heatmap is not None for outputs in found] == [level % 2 == 0 for level in levels]


def test_cuda_and_cpu_give_the_same_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = brightness_bundle(brightness_graph(features=2), input_guard=GUARD)
    expected = loaded(bundle).predict(flat(51, 102, 204), explain=True)
    pretend_cuda(monkeypatch)
    backend = OnnxBackend(bundle, open_session(bundle, "cuda", "auto", ONE_THREAD, ON_CUDA))
    assert backend.provider == CUDA
    for _ in range(2):
        found = backend.predict(flat(51, 102, 204), explain=True)
        assert found.probability == pytest.approx(expected.probability, abs=1e-5)
        assert found.guard_score == pytest.approx(expected.guard_score, abs=1e-3)
        assert found.heatmap == pytest.approx(expected.heatmap, abs=1e-5)
        assert backend.predict(flat(0)).heatmap is None
