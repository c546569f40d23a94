"""The contenders: how each is started, that a wrong or failing one is detected, and that no process is left running."""

import re
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import httpx
import pytest

from benchmarks import bench
from benchmarks.comparison.contenders import (
    DEFAULT,
    NAMES,
    ORDINARY,
    OURS,
    PEERS,
    SAME,
    WORKS,
    Contender,
    Work,
    contenders,
)
from benchmarks.comparison.environments import NoEnvironment
from benchmarks.comparison.summary import Record
from benchmarks.measuring import processes
from benchmarks.measuring.processes import NotServing, Server, ask
from benchmarks.peers.work import Scorer, decoder_of
from contract.bundle import read_bundle
from service.settings import Settings
from tests import BUNDLED_MODEL, ROOT
from tests.commands import run
from tests.drawings import jpeg

# A server that gives every request the same answer, and has a detached child process.
_SERVER = """
import subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
stray = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', 'stray'])"
subprocess.run([sys.executable, "-c", stray], start_new_session=True)
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"probability": 0.25}')
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
# Run in its own process, because it ends all of its child processes.
_MEASURE = """
import os, pathlib, sys
sys.path.insert(0, {root!r})
from benchmarks.comparison import contenders
from benchmarks.measuring import processes
class Fake(contenders.Contender):
    def command(self, python, port):
        return [str(python), "-c", {server!r}, str(port)]
processes.adopt_orphans()
scratch = pathlib.Path(sys.argv[1])
try:
    with processes.serving(Fake(contenders.OURS, contenders.SAME), sys.executable, scratch, b"") as server:
        assert processes.ask(server.url, b"") == 0.25
        running = processes.descendants(os.getpid())
        assert len(running) == 2, running
        assert processes.memory_mib(running) > 5
        {ending}
except processes.NotServing as error:
    print(error)
finally:
    left = processes.descendants(os.getpid())
    assert left == [], left
    print("none left")
"""


def measured(folder: Path, server: str, ending: str = "pass") -> subprocess.CompletedProcess[str]:
    program = _MEASURE.format(root=str(ROOT), server=server, ending=ending)
    return run([sys.executable, "-c", program, folder])


@pytest.mark.parametrize(
    ("ending", "code"),
    [("pass", 0), ("raise KeyboardInterrupt", -2), ("left = server.stop(); assert len(left) == 1, left", 0)],
)
def test_no_process_is_left_running_however_it_ends(tmp_path: Path, ending: str, code: int) -> None:
    done = measured(tmp_path, _SERVER, ending)
    assert (done.stdout, done.returncode) == ("none left\n", code), done.stderr


def test_a_process_that_cannot_be_killed_ends_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    never_there = 2**22 + 1  # over the highest process id
    monkeypatch.setattr(processes, "descendants", lambda process: [never_there])
    monkeypatch.setattr(processes, "_KILL_S", 0)
    monkeypatch.setattr(processes, "_reap", lambda: None)  # the children of this process are of other tests
    with pytest.raises(NotServing, match=str(never_there)):
        processes._kill_all()


def test_every_contender_is_measured_ours_with_both_workloads() -> None:
    turns = [(contender.name, contender.work.name) for contender in contenders(list(NAMES), list(WORKS))]
    peers = [name for name in NAMES if name != OURS]
    assert turns == [
        (OURS, "default"),
        (OURS, "same"),
        *((name, "same") for name in peers),
        *((name, "ordinary") for name in peers),
    ]
    assert contenders(["mosec"], ["same"]) == [Contender("mosec", SAME)]


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS.keys())
def test_each_workload_has_its_graph(work: Work) -> None:
    assert (work.model / work.graph).is_file()


def test_the_comparison_uses_the_default_bundle_and_graph() -> None:
    assert Settings().model == DEFAULT.model
    assert read_bundle(DEFAULT.model).manifest.cpu_graph == DEFAULT.graph


def test_no_setting_of_this_machine_reaches_our_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XRAY_MAX_BATCH", "1")
    environment = Contender(OURS, SAME).environment(tmp_path, 1)
    settings = {name: value for name, value in environment.items() if name.startswith("XRAY_")}
    assert settings == {"XRAY_DEVICE": "cpu", "XRAY_LOG_LEVEL": "warning", "XRAY_PRECISION": "float32"}


@pytest.mark.parametrize("name", [name for name in NAMES if name != OURS])
def test_peers_are_pinned_do_not_phone_home_and_name_no_registry(name: str, tmp_path: Path) -> None:
    pins = (PEERS / name / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", pin) for pin in pins)
    assert (PEERS / name / "server.py").is_file()
    environment = Contender(name, ORDINARY).environment(tmp_path, 1)
    switched_off = {"ray": ("RAY_USAGE_STATS_ENABLED", "0"), "bentoml": ("BENTOML_DO_NOT_TRACK", "True")}
    if name in switched_off:
        variable, value = switched_off[name]
        assert environment[variable] == value


def test_an_answer_that_is_not_the_graph_s_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([Scorer(str(SAME.model / SAME.graph), 1)([decoder_of(SAME.decode, SAME.contract)(jpeg())])[0], 0.5])
    monkeypatch.setattr(bench, "ask", lambda url, data, headers: next(answers))
    server = Server("", {}, 0, cast("subprocess.Popen[bytes]", None))
    bench.check(server, SAME, [jpeg()])
    with pytest.raises(NotServing, match=r"answers 0\.5"):
        bench.check(server, SAME, [jpeg()])


def test_a_binary_answer_is_read_behind_its_json(monkeypatch: pytest.MonkeyPatch) -> None:
    head = b'{"outputs": [{"name": "probability", "datatype": "FP32", "shape": [1, 1]}]}'
    content = head + struct.pack("<f", 0.25)
    answer = httpx.Response(200, headers={"Inference-Header-Content-Length": str(len(head))}, content=content)
    monkeypatch.setattr(httpx, "post", lambda url, **sent: answer)
    assert ask("http://127.0.0.1:1/v2/models/pneumonia/infer", b"") == 0.25


@pytest.mark.parametrize("error", [NoEnvironment("no such version"), NotServing("no such version\nat all")])
def test_a_failure_is_recorded(error: Exception) -> None:
    def fail() -> Record:
        raise error

    assert bench.turn("mosec", fail) == {"failed": "no such version"}


def test_a_server_that_exits_at_once_is_reported_with_its_last_line(tmp_path: Path) -> None:
    done = measured(tmp_path, "import nothing_that_there_is")
    assert re.search(r"^did not start: .* No module named 'nothing_that_there_is'\nnone left$", done.stdout), (
        done.stderr
    )


def test_each_decodes_by_the_image_contract_of_the_bundle_that_is_served(tmp_path: Path) -> None:
    work = replace(DEFAULT, model=BUNDLED_MODEL.parent / "2")
    environment = Contender("fastapi", work).environment(tmp_path, 1)
    assert (work.contract, environment["PEER_CONTRACT"]) == (1, "1")
    assert replace(work, model=work.model.parent / "4").contract == 2
