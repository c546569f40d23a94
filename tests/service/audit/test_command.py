"""``python -m service audit``: what people and programs are told, and the exit codes that a cron job goes by."""

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

_MODEL = {"model": "m", "version": "1", "graph": "model.onnx", "graph_sha256": "0" * 64, "provider": "CPU"}
_ASKED = {"caller": "ward-3", "request_id": "x", "route": "/predict", "operating_point": "balanced", "threshold": 0.5}


def read(name: str, **answer: object) -> ImageRead:
    return ImageRead(image_sha256=name, **_ASKED, **_MODEL, **answer)


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


def audit_command(*words: object) -> int:
    return main(["audit", *map(str, words)])


def head(audit: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What verify prints for it to be kept elsewhere."""
    assert audit_command("verify", audit, "--json") == DONE
    return str(json.loads(capsys.readouterr().out)["head"])


def test_verify_tells_people_and_programs(
    audit: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XRAY_AUDIT_FOLDER", str(audit))
    assert audit_command("verify") == DONE
    shown = capsys.readouterr().out
    assert "1 to 4" in shown
    assert "as it was written" in shown
    assert head(audit, capsys) in shown
    assert audit_command("verify", "--json") == DONE
    told = json.loads(capsys.readouterr().out)
    assert (told["files"], told["lines"], told["first"], told["last"], told["fault"]) == (3, 4, 1, 4, None)


def test_a_change_is_a_failure_that_says_where(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = files_of(audit / "1")[1]
    path.write_bytes(path.read_bytes().replace(b"0.9731", b"0.0731"))
    assert audit_command("verify", audit) == FAILED
    told = capsys.readouterr()
    assert f"{path}:1: this is no line of an audit, or its bytes were changed" in told.err
    assert audit_command("verify", audit, "--json") == FAILED
    assert json.loads(capsys.readouterr().out)["fault"]["file"] == path.name


def test_a_head_that_was_kept_elsewhere_shows_what_was_cut_off(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = head(audit, capsys)
    assert audit_command("verify", audit, "--expect", expected) == DONE
    files_of(audit / "1")[-1].unlink()
    assert audit_command("verify", audit) == DONE
    assert audit_command("verify", audit, "--expect", expected) == FAILED
    assert f"{expected} is in no chain" in capsys.readouterr().err


def test_files_that_were_moved_away_have_to_be_vouched_for(
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


def test_what_a_chain_lacks_is_remarked(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        with files_of(audit / "1")[-1].open("ab") as file:
            file.write(b"torn")
        if number == 0:
            with closing(Chain(audit, 10_000)) as chain:
                chain.append([Started(instance="host-1", service="0.1.0", audit="on", **_MODEL)] * 2)
    assert audit_command("verify", audit) == DONE
    shown = capsys.readouterr().out
    for remark in ("1 ends without an orderly stop", "1 torn writes", "4 bytes of an unfinished line"):
        assert remark in shown


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["verify"], WRONG_USE, "which audit? Set XRAY_AUDIT_FOLDER, or name a folder"),
        (["verify", "nowhere"], FAILED, "nowhere: there is no audit here"),
        (["tail", "nowhere"], FAILED, "nowhere: there is no audit here"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit_command(*words) == code
    assert capsys.readouterr().err == f"xray-service: {says}\n"


@pytest.mark.parametrize("words", [[], ["verify", ".", "--expect", "abc"], ["tail", "-n", "-1"], ["delete"]])
def test_a_slip_is_wrong_use(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        audit_command(*words)
    assert caught.value.code == WRONG_USE


def test_tail_shows_the_last_lines_in_words(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_tail_gives_programs_the_lines_as_they_are(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_command("tail", audit, "--json", "-n", "99") == DONE
    assert capsys.readouterr().out.encode() == b"".join(path.read_bytes() for path in files_of(audit / "1"))


def test_tail_goes_through_the_chains_by_time(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(Chain(audit, 600)), closing(Chain(audit, 600)) as other:
        other.append(
            [Started(instance="host-2", service="0.1.0", audit="on", time="2001-01-01T00:00:00.000Z", **_MODEL)]
        )
    assert audit_command("tail", audit) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert "host-2" in lines[0]


def test_a_line_that_is_none_stops_no_tail(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with files_of(audit / "1")[-1].open("ab") as file:
        file.write(b"\xff\xfe\n[]\n{}\n")
    assert audit_command("tail", audit, "-n", "3") == DONE
    assert capsys.readouterr().out.splitlines().count("no line of an audit") == 3


@pytest.mark.usefixtures("interruptible")
def test_tail_follows_what_comes_in_new_files_and_chains_too(audit: Path) -> None:
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
        assert process.wait(20) == 0
