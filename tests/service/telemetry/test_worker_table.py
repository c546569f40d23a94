"""The shared table: the last complete snapshot counts, also if its writer dies while it writes the next."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.telemetry import worker_table as module
from service.telemetry.worker_table import NOT_ACCEPTING, WorkerTable

SNAPSHOTS = st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=300)), max_size=12)


@given(SNAPSHOTS)
def test_the_last_snapshot_of_each_worker_counts(published: list[tuple[int, bytes]]) -> None:
    table, last = WorkerTable(3), {0: b"", 1: b"", 2: b""}
    for worker, snapshot in published:
        table.publish(worker, snapshot)
        last[worker] = snapshot
        assert {each: table.snapshot(each) for each in table.workers} == last


@given(st.binary(min_size=1, max_size=300), st.integers(1, 5), st.data())
def test_an_incomplete_snapshot_leaves_the_one_before(snapshot: bytes, before: int, data: st.DataObject) -> None:
    table = WorkerTable(2)
    for number in range(before):
        table.publish(1, b"%d" % number)
    start = table._buffer_offset(1, (before + 1) % 2) + module._HEAD.size
    length = data.draw(st.integers(0, len(snapshot)))
    table._memory[start : start + length] = snapshot[:length]
    assert table.snapshot(1) == b"%d" % (before - 1)


def test_it_is_shared_with_forked_processes() -> None:
    table = WorkerTable(2)
    assert table.load(1) == NOT_ACCEPTING
    if not (child := os.fork()):
        table.set_load(1, 7)
        table.publish(1, b"from the child")
        os._exit(0)
    os.waitpid(child, 0)
    assert (table.load(0), table.load(1), table.snapshot(0), table.snapshot(1)) == (
        NOT_ACCEPTING,
        7,
        b"",
        b"from the child",
    )


def test_a_snapshot_that_is_too_long_is_refused_and_affects_no_other() -> None:
    table = WorkerTable(2)
    table.publish(1, b"mine")
    table.publish(0, b"x" * module._MAX_SNAPSHOT_BYTES)
    with pytest.raises(ValueError, match="exceeds"):
        table.publish(0, b"x" * (module._MAX_SNAPSHOT_BYTES + 1))
    assert table.snapshot(1) == b"mine"
