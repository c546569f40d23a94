"""The board that workers share: what was left last counts, also when its writer dies amid the next note."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.telemetry import worker_table as module
from service.telemetry.worker_table import AWAY, Board

NOTES = st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=300)), max_size=12)


@given(NOTES)
def test_the_last_note_of_each_counts(pinned: list[tuple[int, bytes]]) -> None:
    board, last = Board(3), {0: b"", 1: b"", 2: b""}
    for worker, text in pinned:
        board.pin(worker, text)
        last[worker] = text
        assert {each: board.note(each) for each in board.workers} == last


@given(st.binary(min_size=1, max_size=300), st.integers(1, 5), st.data())
def test_a_note_that_was_cut_short_leaves_the_one_before(text: bytes, before: int, data: st.DataObject) -> None:
    board = Board(2)
    for number in range(before):
        board.pin(1, b"%d" % number)
    start = board._half(1, (before + 1) % 2) + module._HEAD.size
    length = data.draw(st.integers(0, len(text)))
    board._memory[start : start + length] = text[:length]
    assert board.note(1) == b"%d" % (before - 1)


def test_it_is_shared_with_whoever_is_forked() -> None:
    board = Board(2)
    assert board.load(1) == AWAY
    if not (child := os.fork()):
        board.set_load(1, 7)
        board.pin(1, b"from below")
        os._exit(0)
    os.waitpid(child, 0)
    assert (board.load(0), board.load(1), board.note(0), board.note(1)) == (AWAY, 7, b"", b"from below")


def test_a_note_that_does_not_fit_is_refused_and_harms_nobody() -> None:
    board = Board(2)
    board.pin(1, b"mine")
    board.pin(0, b"x" * module._MAX_NOTE_BYTES)
    with pytest.raises(ValueError, match="fit"):
        board.pin(0, b"x" * (module._MAX_NOTE_BYTES + 1))
    assert board.note(1) == b"mine"
