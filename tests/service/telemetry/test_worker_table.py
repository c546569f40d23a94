"""The board that workers share: what was left last counts, also when its writer dies amid the next note."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.telemetry import worker_table as module
from service.telemetry.worker_table import NOT_ACCEPTING, WorkerTable

NOTES = st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=300)), max_size=12)


@given(NOTES)
def test_the_last_note_of_each_counts(pinned: list[tuple[int, bytes]]) -> None:
    table, last = WorkerTable(3), {0: b"", 1: b"", 2: b""}
    for worker, text in pinned:
        table.publish(worker, text)
        last[worker] = text
        assert {each: table.snapshot(each) for each in table.workers} == last


@given(st.binary(min_size=1, max_size=300), st.integers(1, 5), st.data())
def test_a_note_that_was_cut_short_leaves_the_one_before(text: bytes, before: int, data: st.DataObject) -> None:
    table = WorkerTable(2)
    for number in range(before):
        table.publish(1, b"%d" % number)
    start = table._half(1, (before + 1) % 2) + module._HEAD.size
    length = data.draw(st.integers(0, len(text)))
    table._memory[start : start + length] = text[:length]
    assert table.snapshot(1) == b"%d" % (before - 1)


def test_it_is_shared_with_whoever_is_forked() -> None:
    table = WorkerTable(2)
    assert table.load(1) == NOT_ACCEPTING
    if not (child := os.fork()):
        table.set_load(1, 7)
        table.publish(1, b"from below")
        os._exit(0)
    os.waitpid(child, 0)
    assert (table.load(0), table.load(1), table.snapshot(0), table.snapshot(1)) == (
        NOT_ACCEPTING,
        7,
        b"",
        b"from below",
    )


def test_a_note_that_does_not_fit_is_refused_and_harms_nobody() -> None:
    table = WorkerTable(2)
    table.publish(1, b"mine")
    table.publish(0, b"x" * module._MAX_NOTE_BYTES)
    with pytest.raises(ValueError, match="fit"):
        table.publish(0, b"x" * (module._MAX_NOTE_BYTES + 1))
    assert table.snapshot(1) == b"mine"
