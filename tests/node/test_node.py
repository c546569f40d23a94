"""A node as users start it, from C-STORE to C-STORE."""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.config import read_config
from node.running import open_spool
from node.storage.ledger import Ledger
from node.storage.spool import SpoolUnusable
from tests import ROOT
from tests.node.objects import radiograph, result, result_uid
from tests.node.peers import FakePacs, FakeService, association, send
from tests.node.running import RunningNode, node_command, running, spooled, write_config
from tests.waiting import DEADLINE_S, until


@dataclass
class Site:
    """A node with its peers."""

    service: FakeService
    pacs: FakePacs
    config: Path
    node: RunningNode


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    service, pacs = FakeService(), FakePacs()
    config = write_config(tmp_path_factory.mktemp("node"), service.url, pacs.port)
    with running(config) as node:
        yield Site(service, pacs, config, node)
    service.stop()
    pacs.stop()


def test_objects_over_several_associations_get_their_results_once(site: Site) -> None:
    images = [radiograph() for _ in range(6)]
    with association(site.node.port) as first, association(site.node.port, calling="PACS") as second:
        for image in images:
            assert {made.send_c_store(image).Status for made in (first, second)} == {0}
    site.node.await_idle()
    expected = {result_uid(str(image.SOPInstanceUID), kind) for image in images for kind in ("sr", "heatmap")}
    assert {uid: site.pacs.stored[uid] for uid in expected} == dict.fromkeys(expected, 1)
    assert spooled(site.config) == []


def test_a_result_that_comes_back_is_not_read_again(site: Site) -> None:
    image = radiograph()
    assert send(site.node.port, image) == [0]
    site.node.await_idle()
    calls = len(site.service.requests)
    assert (
        send(site.node.port, image, *(result(str(image.SOPInstanceUID), kind) for kind in ("sr", "heatmap"))) == [0] * 3
    )
    site.node.await_idle()
    assert len(site.service.requests) == calls


def test_a_dead_letter_is_listed_and_retried_while_the_node_runs(site: Site) -> None:
    image = radiograph()
    site.service.failures = [(422, "lateral-view", {})]
    assert send(site.node.port, image) == [0]
    until(lambda: site.node.health()["dead"] == 1, lambda: site.node.log)
    listed = node_command(site.config, "dead").stdout.split("\t")
    assert listed[1:] == [str(image.SOPInstanceUID), "object", "422 lateral-view: a detail\n"]
    assert node_command(site.config, "retry", "1.2.3").returncode == 1
    assert node_command(site.config, "retry", "--all").stdout == "1 dead letters wait again\n"
    until(lambda: site.pacs.stored[result_uid(str(image.SOPInstanceUID), "sr")], lambda: site.node.log)
    site.node.await_idle()
    assert site.node.health()["dead"] == 0


def test_health_names_what_does_not_work(site: Site) -> None:
    site.pacs.stop()
    assert send(site.node.port, radiograph()) == [0]
    until(lambda: site.node.health()["problems"], lambda: site.node.log)
    health = site.node.health()
    assert health["status"] == "degraded"
    assert health["problems"] == ["destination pacs: no association (not reachable, or TLS failed)"]
    until(lambda: site.node.health()["oldest_waiting_s"] > 0)  # in tenths of a second
    site.pacs.start()
    site.node.await_idle()
    until(lambda: site.node.health()["status"] == "ok", lambda: site.node.log)


def test_every_metric_is_documented(site: Site) -> None:
    families = set(re.findall(r"^# TYPE (\S+)", site.node.metrics(), re.M))
    families = {name for name in families if not name.endswith("_created")}
    documented = set(re.findall(r"^\| `(xray_node_\w+)`", (ROOT / "docs" / "node.md").read_text(), re.M))
    assert families == documented


def test_nothing_of_a_patient_is_written(site: Site) -> None:
    """After all of the above: no attribute of a patient in the log, the metrics, dead letters, or names of files."""
    assert send(site.node.port, radiograph(side=100)) == [0]
    site.node.await_idle()
    texts = [site.node.log, site.node.metrics(), str(site.node.health()), node_command(site.config, "dead").stdout]
    texts += [path.name for path in site.config.parent.glob("**/*")]
    ledger = b"".join(path.read_bytes() for path in site.config.parent.glob("spool/ledger.sqlite*"))
    assert [text for text in texts if "CANARY" in text] == []
    assert b"CANARY" not in ledger


def test_a_second_node_does_not_use_the_same_spool(site: Site) -> None:
    done = node_command(site.config)
    assert done.returncode == 1
    assert f"is in use by another node: process {site.node.process.pid} on " in done.stderr
    assert done.stderr.count("\n") == 1


def _spool(config: Path) -> Path:
    spool = config.parent / "spool"
    (spool / "results").mkdir(parents=True)
    return spool


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ledger.sqlite", "ledger.sqlite cannot be used: file is not a database"),
        ("objects", "objects cannot be used: File exists"),
        ("results/1.sr.dcm", "results holds results that were not delivered, but the ledger knows of none"),
    ],
)
def test_a_spool_that_cannot_be_used_is_said_in_one_line(name: str, said: str, tmp_path: Path) -> None:
    config = write_config(tmp_path, "http://127.0.0.1:1", 104)
    (_spool(config) / name).write_bytes(b"x" * 5000)
    done = node_command(config)
    assert (done.returncode, done.stderr) == (1, f"xray-node: {config.parent}/spool/{said}\n")
    assert (config.parent / "spool" / name).exists()


@pytest.mark.parametrize("command", [["dead"], ["retry", "--all"]])
def test_a_damaged_ledger_is_one_line_for_every_command(command: list[str], tmp_path: Path) -> None:
    config = write_config(tmp_path, "http://127.0.0.1:1", 104)
    (_spool(config) / "ledger.sqlite").write_bytes(b"x" * 5000)
    done = node_command(config, *command)
    assert done.returncode == 1
    assert done.stderr == f"xray-node: {config.parent}/spool/ledger.sqlite cannot be used: file is not a database\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_an_output_that_fails_is_one_line(tmp_path: Path) -> None:
    config = write_config(tmp_path, "http://127.0.0.1:1", 104)
    Ledger(_spool(config) / "ledger.sqlite").close()
    command = [sys.executable, "-m", "node", "--config", str(config), "retry", "--all"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "xray-node: cannot write the output: No space left on device\n")


def test_a_spool_on_a_filesystem_without_locks_is_not_said_to_be_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lack(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", lack)
    with pytest.raises(SpoolUnusable, match=r"spool cannot be used: No locks available"):
        open_spool(read_config(write_config(tmp_path, "http://127.0.0.1:1", 104)))


def test_a_destination_that_never_answers_does_not_keep_the_node_from_ending(tmp_path: Path) -> None:
    service = FakeService()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = write_config(tmp_path, service.url, silent.getsockname()[1])  # its timeout is longer than the test's
        with running(config) as node:
            assert send(node.port, radiograph()) == [0]
            connection, _ = silent.accept()
            with connection:
                assert node.stop() == 0
                assert "what it was sent is sent again" in node.log
    service.stop()


def test_sigterm_lets_an_association_end_and_what_waits_is_kept(tmp_path: Path) -> None:
    service, pacs, images = FakeService(), FakePacs(), [radiograph(), radiograph()]
    service.stop()
    config = write_config(tmp_path, service.url, pacs.port)
    with running(config) as node, association(node.port) as made:
        assert made.send_c_store(images[0]).Status == 0
        node.process.send_signal(signal.SIGTERM)
        until(lambda: _refused(node.port), lambda: node.log)
        assert made.send_c_store(images[1]).Status == 0
        made.release()
        assert node.process.wait(DEADLINE_S) == 0
        assert node.log.endswith("stopped\n")
    service.start()
    with running(config) as node:
        until(lambda: len(pacs.stored) == 4, lambda: node.log)
    service.stop()
    pacs.stop()


def _refused(port: int) -> bool:
    with association(port) as made:
        return not made.is_established
