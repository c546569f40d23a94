"""``kill -9`` at steps of an object's way: nothing acknowledged is lost, and no result gets two UIDs.

These are the steps between what is on disk and what is noted or acknowledged; ``tests/pacs`` goes through all.
"""

from pathlib import Path

import pytest

from tests.node.kill import SOME, Step, command
from tests.node.objects import radiograph, result_uid
from tests.node.peers import FakePacs, FakeService, send
from tests.node.running import running, spooled, write_config
from tests.waiting import until


@pytest.mark.parametrize("step", SOME, ids=lambda step: "-".join(map(str, step[1:])))
def test_a_killed_node_answers_once_it_runs_again(step: Step, tmp_path: Path) -> None:
    service, pacs, image = FakeService(), FakePacs(), radiograph()
    config = write_config(tmp_path, service.url, pacs.port)
    with running(config, command(step)) as node:
        acknowledged = send(node.port, image) == [0]
        until(lambda: node.process.poll() is not None, lambda: f"the step was never reached: {node.log}")
    with running(config) as node:
        if not acknowledged:  # a modality sends again what was not acknowledged
            assert send(node.port, image) == [0]
        until(lambda: len(pacs.stored) == 2, lambda: node.log)
        node.await_idle()
        assert send(node.port, image) == [0]
        node.await_idle()
        assert node.health()["dead"] == 0
        assert spooled(config) == []
        assert node.stop() == 0
    uid = str(image.SOPInstanceUID)
    assert set(pacs.stored) == {result_uid(uid, "sr"), result_uid(uid, "heatmap")}
    assert sum(pacs.stored.values()) <= 3  # one may have been stored just before the kill
    service.stop()
    pacs.stop()
