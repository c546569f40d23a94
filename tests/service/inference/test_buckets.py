"""Buckets: few shapes, all warmed up, and no rows mixed up."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contract.bundle import HEATMAP, PROBABILITY
from service.inference.buckets import Buckets, bucket_sizes
from service.inference.session import CPU, CUDA
from tests.bundles import brightness_graph
from tests.fakes import CudaSession, pretend_cuda

LARGEST = 6
SIZES = (1, 4, 6)


Sessions = dict[int, CudaSession]


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    graph = brightness_graph()
    return {size: CudaSession(graph, None, providers=[CUDA, CPU], provider_options=[{}, {}]) for size in SIZES}


@pytest.fixture(scope="module")
def buckets(sessions: Sessions) -> Buckets:
    with pytest.MonkeyPatch.context() as monkeypatch:
        pretend_cuda(monkeypatch)
        return Buckets(sessions)


@pytest.fixture(scope="module")
def alone() -> onnxruntime.InferenceSession:
    """The same graph in a plain session."""
    return onnxruntime.InferenceSession(brightness_graph(), providers=[CPU])


def pictures(*levels: int) -> NDArray[np.uint8]:
    """Each with its own brightness, and a bright corner, so that no two heatmaps are alike."""
    batch = np.stack([np.full((200, 200, 1), level, np.uint8) for level in levels])
    batch[:, :50, :50] = 255
    return batch


@given(largest=st.integers(1, 256), data=st.data())
def test_each_batch_has_a_bucket_less_than_four_times_its_size(largest: int, data: st.DataObject) -> None:
    sizes = bucket_sizes(largest)
    assert list(sizes) == sorted(set(sizes))
    assert (sizes[0], sizes[-1]) == (1, largest)
    count = data.draw(st.integers(1, largest))
    assert next(size for size in sizes if size >= count) < 4 * count


def test_every_bucket_is_warmed_up_and_its_session_sees_one_shape_only(sessions: Sessions, buckets: Buckets) -> None:
    for count in range(1, LARGEST + 1):
        buckets.run([PROBABILITY], pictures(*range(count)))
    for size, session in sessions.items():
        assert session.sizes[:2] == [size, size]  # once for the shapes of the outputs, once with bindings
        assert session.bound >= 2
        assert set(session.sizes) == {size}


@given(
    batches=st.lists(
        st.tuples(st.lists(st.integers(1, 250), min_size=1, max_size=LARGEST), st.booleans()), min_size=1, max_size=4
    )
)
def test_rows_keep_their_order_and_padding_is_never_returned(
    batches: list[tuple[list[int], bool]],
    sessions: Sessions,
    buckets: Buckets,
    alone: onnxruntime.InferenceSession,
) -> None:
    results = []
    for levels, explain in batches:
        names = [PROBABILITY, HEATMAP] if explain else [PROBABILITY]
        batch = pictures(*levels)
        results.append(buckets.run(names, batch))
        size = next(size for size in SIZES if size >= len(levels))
        fed = sessions[size].batches[-1]
        assert len(fed) == size
        assert (fed[: len(levels)] == batch).all()
        assert not fed[len(levels) :].any()
    for (levels, explain), result in zip(batches, results, strict=True):  # no later run has overwritten a result
        names = [PROBABILITY, HEATMAP] if explain else [PROBABILITY]
        for row, level in enumerate(levels):
            for rows, own in zip(result, alone.run(names, {"image": pictures(level)}), strict=True):
                assert len(rows) == len(levels)
                assert rows[row] == pytest.approx(own[0], abs=1e-5)


def test_concurrent_calls_are_serialised_and_get_their_own_rows(
    buckets: Buckets, alone: onnxruntime.InferenceSession
) -> None:
    levels = list(range(10, 250, 5))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda level: buckets.run([PROBABILITY], pictures(level, 250))[0], levels))
    expected = [alone.run([PROBABILITY], {"image": pictures(level)})[0][0] for level in levels]
    assert [rows[0] for rows in found] == pytest.approx(expected, abs=1e-5)


def test_a_batch_over_the_largest_is_refused(buckets: Buckets) -> None:
    with pytest.raises(ValueError, match="a batch of 7 images exceeds the largest bucket, 6"):
        buckets.run([PROBABILITY], pictures(*range(1, 8)))
