"""The parent's decision whether all workers replace their model, or none; without processes."""

import logging
from pathlib import Path

import pytest

from service.settings import Settings
from service.workers.coordinator import PREPARE_S, Coordinator
from service.workers.swap import Phase, Record, SwapTable
from tests.service.http.test_reload import write

WORKERS = {0, 1, 2}


class Parent:
    """A coordinator of three workers, whose part the test takes."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.coordinator = Coordinator(Settings(model=folder, workers=3), clock=lambda: self.now)
        self.table: SwapTable = self.coordinator.slot(0).table

    @property
    def version(self) -> str:
        """Of the model that a worker would be started with."""
        return self.coordinator.bundle.manifest.version

    @property
    def order(self) -> Record:
        """As the workers read it."""
        order = self.table.order()
        assert order is not None
        return order

    def phase(self) -> Phase:
        """Of the order."""
        return self.order.phase

    def request(self) -> None:
        """SIGHUP, and what follows at once."""
        self.coordinator.request()
        self.coordinator.step(WORKERS)

    def report(self, phase: Phase, *workers: int, text: str = "") -> None:
        """These workers report on the current order."""
        for worker in workers:
            self.table.report(worker, Record(self.order.number, phase, text))
        self.coordinator.step(WORKERS)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "brightness"
    write(folder, "1")
    return folder


@pytest.fixture
def parent(models: Path) -> Parent:
    """With version 2 to be loaded."""
    found = Parent(models)
    write(models, "2")
    return found


def test_all_workers_switch_once_all_are_prepared(parent: Parent) -> None:
    parent.request()
    assert parent.phase() is Phase.PREPARE
    parent.report(Phase.PREPARED, 0, 2)
    assert (parent.phase(), parent.version) == (Phase.PREPARE, "1")
    parent.report(Phase.PREPARED, 1)
    assert parent.phase() is Phase.SWITCH
    parent.report(Phase.SWITCHED, 0, 1)
    assert (parent.phase(), parent.version) == (Phase.SWITCH, "2")
    parent.report(Phase.SWITCHED, 2)
    assert (parent.phase(), parent.version) == (Phase.REPLACED, "2")
    assert not parent.coordinator.is_busy


def test_one_worker_that_fails_keeps_the_model_of_all(parent: Parent, caplog: pytest.LogCaptureFixture) -> None:
    parent.request()
    parent.report(Phase.PREPARED, 0, 2)
    parent.report(Phase.FAILED, 1, text="no memory")
    assert (parent.phase(), parent.order.text, parent.version) == (Phase.KEPT, "no memory", "1")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize("running", [{0, 1}, {0, 1, 2, 3}])
def test_a_worker_that_ends_or_starts_meanwhile_keeps_the_model_of_all(parent: Parent, running: set[int]) -> None:
    parent.request()
    parent.report(Phase.PREPARED, 0, 1)
    parent.coordinator.step(running)
    assert (parent.phase(), parent.version) == (Phase.KEPT, "1")


def test_a_worker_that_hangs_keeps_the_model_of_all(parent: Parent) -> None:
    parent.request()
    parent.report(Phase.PREPARED, 0, 1)
    parent.now = PREPARE_S
    parent.coordinator.step(WORKERS)
    assert parent.phase() is Phase.PREPARE
    parent.now += 1
    parent.coordinator.step(WORKERS)
    assert (parent.phase(), parent.version) == (Phase.KEPT, "1")


def test_a_worker_that_ends_while_the_others_switch_is_started_with_the_new_model(parent: Parent) -> None:
    parent.request()
    parent.report(Phase.PREPARED, *WORKERS)
    parent.coordinator.step({0, 1})
    assert (parent.phase(), parent.version) == (Phase.SWITCH, "2")
    for worker in (0, 1):
        parent.table.report(worker, Record(parent.order.number, Phase.SWITCHED))
    parent.coordinator.step({0, 1})
    assert parent.phase() is Phase.REPLACED


def test_what_was_reported_of_an_earlier_order_does_not_count(parent: Parent) -> None:
    parent.request()
    parent.report(Phase.PREPARED, 0, 1)
    parent.report(Phase.FAILED, 2, text="busy")
    parent.request()
    assert parent.phase() is Phase.PREPARE
    parent.coordinator.step(WORKERS)
    assert parent.phase() is Phase.PREPARE


def test_a_request_during_another_is_carried_out_afterwards(parent: Parent, models: Path) -> None:
    parent.request()
    write(models, "3")
    parent.coordinator.request()
    parent.report(Phase.PREPARED, *WORKERS)
    parent.report(Phase.SWITCHED, *WORKERS)
    assert (parent.phase(), parent.version) == (Phase.REPLACED, "2")
    parent.coordinator.step(WORKERS)
    assert parent.phase() is Phase.PREPARE
    parent.report(Phase.PREPARED, *WORKERS)
    parent.report(Phase.SWITCHED, *WORKERS)
    assert (parent.phase(), parent.version) == (Phase.REPLACED, "3")


def test_an_unchanged_model_and_one_that_cannot_be_read_are_no_order_to_the_workers(models: Path) -> None:
    parent = Parent(models)
    parent.request()
    assert (parent.order.number, parent.phase()) == (1, Phase.UNCHANGED)
    (write(models, "2") / "model.onnx").unlink()
    parent.request()
    assert (parent.order.number, parent.phase()) == (2, Phase.KEPT)
    assert parent.order.text == "XRAY_MODEL/model.onnx: No such file or directory"


def test_a_record_that_is_being_written_is_not_read() -> None:
    table = SwapTable(1)
    assert table.order() == table.state(0) == Record()
    table.give(Record(7, Phase.PREPARE, "digest"))
    assert (table.order(), table.state(0)) == (Record(7, Phase.PREPARE, "digest"), Record())
    table._memory[8] ^= 1
    assert table.order() is None


def test_a_long_reason_is_cut() -> None:
    table = SwapTable(1)
    table.report(0, Record(1, Phase.FAILED, "ü" * 5000))
    assert (table.state(0) or Record()).text.strip("ü") == ""
