"""Whatever ends during a run on a cluster: the table is that of one machine, and nothing is sent elsewhere."""

import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import ROOT
from tests.cluster.conftest import IMAGES, PART_SIZE, bulk
from tests.cluster.machines import OTHERS, RAYLET, Cluster
from tests.waiting import until

PARTS = IMAGES // PART_SIZE
BAD = 1  # the exit code of a complete run over this archive, two of whose images are bad


def parts(out: Path) -> dict[str, str]:
    """The parts that are there, with a digest of each."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("part-*")}


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """The exit code, and the lines of stderr, progress aside."""
    lines = process.communicate()[1].replace("\r", "\n").splitlines()
    return process.returncode, [line for line in lines if "images/s" not in line]


@contextmanager
def running(
    cluster: Cluster, archive: Path, out: Path, *options: object, **env: str
) -> Iterator[subprocess.Popen[str]]:
    """A run whose command is on the head's machine."""
    variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(cluster.token), **env}
    command = bulk(archive, out, "--engine", "ray", *options)
    with subprocess.Popen(
        ["ip", "netns", "exec", cluster.head.name, *command],
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        yield process
        process.kill()


def on(cluster: Cluster) -> tuple[str, str]:
    return "--address", cluster.address


def half_done(out: Path) -> None:
    """Wait until some parts are done, and some are not."""
    until(lambda: len(list(out.glob("part-*"))) >= PARTS // 10)
    assert len(parts(out)) < PARTS


def complete(out: Path, local: Path) -> None:
    """Every file is the one that the engine for one machine writes, and no other is there."""
    assert parts(out) == parts(local)
    assert len(parts(local)) == PARTS
    assert {path.name for path in out.iterdir()} == {path.name for path in local.iterdir()}
    assert (out / "_SUCCESS.json").read_text() == (local / "_SUCCESS.json").read_text()


def test_a_cluster_s_table_is_that_of_one_machine(cluster: Cluster, archive: Path, local: Path, tmp_path: Path) -> None:
    with running(cluster, archive, tmp_path / "out", *on(cluster)) as run:
        code, lines = ended(run)
    assert (code, lines) == (BAD, [])
    complete(tmp_path / "out", local)


def test_what_is_listened_on_is_documented(cluster: Cluster) -> None:
    known = {RAYLET, *OTHERS}
    for machine in cluster.machines:
        assert machine.ports() <= {*known, *range(6400, 6500)}
    text = (ROOT / "docs" / "bulk.md").read_text()
    assert all(f"| {port} |" in text for port in (*known, "6400 to 6499"))


def test_an_address_without_a_token_is_wrong_usage(cluster: Cluster, archive: Path, tmp_path: Path) -> None:
    with running(cluster, archive, tmp_path / "out", *on(cluster), RAY_AUTH_MODE="disabled") as run:
        code, lines = ended(run)
    assert code == 2
    assert len(lines) == 1
    assert "RAY_AUTH_MODE=token" in lines[0]


def test_a_wrong_token_is_refused(cluster: Cluster, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0" * 64)
    with running(cluster, archive, tmp_path / "out", *on(cluster), RAY_AUTH_TOKEN_PATH=str(tmp_path / "token")) as run:
        code, lines = ended(run)
    assert code == 1
    assert len(lines) == 1
    assert "token" in lines[0]
    assert not parts(tmp_path / "out")


def test_a_node_that_is_lost_loses_nothing(cluster: Cluster, archive: Path, local: Path, tmp_path: Path) -> None:
    with running(cluster, archive, tmp_path / "out", *on(cluster)) as run:
        half_done(tmp_path / "out")
        cluster.nodes[0].kill()
        code, lines = ended(run)
    assert (code, lines) == (BAD, [])
    complete(tmp_path / "out", local)


def test_a_command_that_is_killed_is_resumed(cluster: Cluster, archive: Path, local: Path, tmp_path: Path) -> None:
    with running(cluster, archive, tmp_path / "out", *on(cluster)) as run:
        half_done(tmp_path / "out")
        run.send_signal(signal.SIGKILL)
    with running(cluster, archive, tmp_path / "out", *on(cluster), "--resume") as run:
        code, lines = ended(run)
    assert (code, lines) == (BAD, [])
    complete(tmp_path / "out", local)


def test_a_run_without_nodes_ends(cluster: Cluster, archive: Path, tmp_path: Path) -> None:
    with running(cluster, archive, tmp_path / "out", *on(cluster)) as run:
        half_done(tmp_path / "out")
        for each in cluster.nodes:
            each.kill()
        code, lines = ended(run)
    assert code == 1
    assert len(lines) == 1
    assert "no node of the Ray cluster" in lines[0]
    assert "--resume" in lines[0]


def test_a_head_that_is_lost_ends_the_run_and_another_cluster_resumes_it(
    cluster: Cluster, archive: Path, local: Path, tmp_path: Path
) -> None:
    with running(cluster, archive, tmp_path / "out", *on(cluster)) as run:
        half_done(tmp_path / "out")
        cluster.head.kill(but=(b"service bulk".replace(b" ", b"\0"), b"multiprocessing"))  # the command stays
        code, lines = ended(run)
    assert code == 1
    assert len(lines) == 1
    assert "the Ray cluster was lost" in lines[0]
    cluster.ready()
    with running(cluster, archive, tmp_path / "out", *on(cluster), "--resume") as run:
        code, lines = ended(run)
    assert (code, lines) == (BAD, [])
    complete(tmp_path / "out", local)


@pytest.mark.parametrize("name", ["head", "node1", "node2"])
def test_nothing_has_left_a_machine(cluster: Cluster, name: str) -> None:
    """The last test: it is about all that happened before."""
    (machine,) = [each for each in cluster.machines if each.name == name]
    assert machine.sent_out() == []
    subprocess.run(["ip", "netns", "exec", name, "bash", "-c", "echo >/dev/udp/192.0.2.1/53"], check=False)
    assert machine.sent_out() == ["192.0.2.1 udp 53"]  # it would have been seen
