"""``python -m service audit``: its output for people and for programs, and its exit codes."""

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from service.__main__ import DONE, FAILED, WRONG_USE, main
from service.audit.chain import Chain, files_of
from service.audit.line import GENESIS, ImageRead, Started, Stopped
from tests import ROOT
from tests.waiting import DEADLINE_S

_MODEL = {"model": "m", "version": "1", "graph": "model.onnx", "graph_sha256": "0" * 64, "provider": "CPU"}
_REQUEST = {"caller": "ward-3", "request_id": "x", "route": "/predict", "operating_point": "balanced", "threshold": 0.5}


def read(name: str, **answer: object) -> ImageRead:
    return ImageRead(image_sha256=name, **_REQUEST, **_MODEL, **answer)


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    """A start, two images and a stop, in three files."""
    with closing(Chain(tmp_path, 1)) as chain:
        chain.append([Started(instance="host-1", service="0.1.0", audit="on", **_MODEL)])
        chain.append(
            [read("aaaabbbbccccdddd", label="PNEUMONIA", probability=0.9731, warnings=("unlike_training_data",))]
        )
        chain.append([read("eeee", problem="truncated-image"), Stopped()])
    return tmp_path


def audit_command(*arguments: object) -> int:
    return main(["audit", *map(str, arguments)])


def head(audit: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The head of the chain, as verify prints it."""
    assert audit_command("verify", audit, "--json") == DONE
    return str(json.loads(capsys.readouterr().out)["head"])


def test_verify_prints_a_table_or_json(
    audit: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XRAY_AUDIT_FOLDER", str(audit))
    assert audit_command("verify") == DONE
    table = capsys.readouterr().out
    assert "1 to 4" in table
    assert "intact" in table
    assert head(audit, capsys) in table
    assert audit_command("verify", "--json") == DONE
    verdict = json.loads(capsys.readouterr().out)
    assert [verdict[name] for name in ("files", "lines", "first", "last", "fault")] == [3, 4, 1, 4, None]


def test_an_altered_line_is_reported_with_its_place(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = files_of(audit / "1")[1]
    path.write_bytes(path.read_bytes().replace(b"0.9731", b"0.0731"))
    assert audit_command("verify", audit) == FAILED
    output = capsys.readouterr()
    assert f"{path}:1: this is not a line of an audit log, or it was altered" in output.err
    assert f"ALTERED at line 1 of {path.name}" in output.out
    assert audit_command("verify", audit, "--json") == FAILED
    assert json.loads(capsys.readouterr().out)["fault"]["file"] == path.name


def test_an_expected_head_shows_removed_lines(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = head(audit, capsys)
    assert audit_command("verify", audit, "--expect", expected) == DONE
    files_of(audit / "1")[-1].unlink()
    assert audit_command("verify", audit) == DONE
    assert audit_command("verify", audit, "--expect", expected) == FAILED
    assert f"{expected} is not in any chain" in capsys.readouterr().err


def test_archived_files_are_declared_with_after(
    audit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    first = files_of(audit / "1")[0]
    first.rename(archive / first.name)
    before = head(archive, capsys)
    assert audit_command("verify", audit) == FAILED
    assert before in capsys.readouterr().err
    assert audit_command("verify", audit, "--after", before) == DONE
    assert audit_command("verify", audit, "--after", GENESIS[:-1] + "1") == FAILED


def test_verify_remarks_on_unclean_shutdowns_and_torn_writes(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        with files_of(audit / "1")[-1].open("ab") as file:
            file.write(b"torn")
        if number == 0:
            with closing(Chain(audit, 10_000)) as chain:
                chain.append([Started(instance="host-1", service="0.1.0", audit="on", **_MODEL)] * 2)
    assert audit_command("verify", audit) == DONE
    table = capsys.readouterr().out
    for remark in ("1 unclean shutdowns", "1 torn writes", "4 bytes of an incomplete line"):
        assert remark in table


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["verify"], WRONG_USE, "no audit folder is given: set XRAY_AUDIT_FOLDER, or name a folder"),
        (["verify", "nowhere"], FAILED, "nowhere: there is no audit log here"),
        (["tail", "nowhere"], FAILED, "nowhere: there is no audit log here"),
    ],
)
def test_a_failed_command_reports_one_line(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit_command(*arguments) == code
    assert capsys.readouterr().err == f"xray-service: {message}\n"


@pytest.mark.parametrize("arguments", [[], ["verify", ".", "--expect", "abc"], ["tail", "-n", "-1"], ["delete"]])
def test_invalid_arguments_are_wrong_use(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        audit_command(*arguments)
    assert caught.value.code == WRONG_USE


def test_tail_prints_the_last_lines_in_columns(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_command("tail", audit) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "started" in lines[0]
    assert "instance=host-1" in lines[0]
    assert lines[1].endswith(
        "read      ward-3            /predict    aaaabbbbcccc  PNEUMONIA 0.9731  unlike_training_data"
    )
    assert lines[2].endswith("truncated-image")
    assert audit_command("tail", audit, "-n", "2") == DONE
    assert capsys.readouterr().out.splitlines() == lines[-2:]


def test_tail_json_prints_the_lines_unchanged(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_command("tail", audit, "--json", "-n", "99") == DONE
    assert capsys.readouterr().out.encode() == b"".join(path.read_bytes() for path in files_of(audit / "1"))


def test_tail_orders_the_lines_of_all_chains_by_time(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(Chain(audit, 600)), closing(Chain(audit, 600)) as other:
        other.append(
            [Started(instance="host-2", service="0.1.0", audit="on", time="2001-01-01T00:00:00.000Z", **_MODEL)]
        )
    assert audit_command("tail", audit) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert "host-2" in lines[0]


def test_tail_continues_after_an_invalid_line(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with files_of(audit / "1")[-1].open("ab") as file:
        file.write(b"\xff\xfe\n[]\n{}\n")
    assert audit_command("tail", audit, "-n", "3") == DONE
    assert capsys.readouterr().out.splitlines().count("not a line of an audit log") == 3


@pytest.mark.usefixtures("interruptible")
def test_tail_follows_new_files_and_new_chains(audit: Path) -> None:
    command = [sys.executable, "-m", "service", "audit", "tail", str(audit), "-n", "1", "-f"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        assert "stopped" in process.stdout.readline()
        with closing(Chain(audit, 1)) as chain, closing(Chain(audit, 1)) as other:
            for name in ("1111", "2222"):
                chain.append([read(name, problem="empty-file")])
                assert name in process.stdout.readline()
            other.append([read("3333", problem="empty-file")])
            assert "3333" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 0
