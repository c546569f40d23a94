"""Lines that someone else wrote into the log: a verdict for any, and nothing that a terminal would interpret."""

import hashlib
import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.__main__ import DONE, FAILED, main
from service.audit.chain import AuditError, Chain, find_end
from service.audit.line import GENESIS, Stopped
from service.audit.tail import format_line
from service.audit.verify import verify_chain
from tests.service.audit.test_chain import scratch

ESCAPES = "\x1b[2J\x1b]52;c;cm0=\x07\x9b31m\u202e\x7f"
HOSTILE = [
    '"event":"gap","time":"t","since":"s","lost":"many"',
    '"event":"gap","time":"t","since":"s","lost":-5',
    '"event":"gap","time":"t","since":"s","lost":1e400',
    f'"event":"gap","time":"t","since":"s","lost":{"9" * 5000}',
    '"event":"gap","time":"t"',
    '"event":"torn","time":"t","torn_bytes":"0","torn_sha256":null',
    '"event":"torn","time":"t"',
    f'"event":"read","time":"t","deep":{"[" * 5000}',
    '"event":"read","time":"t","open":"',
    f'"event":"read","time":"{ESCAPES}"',
]


def forge(body: bytes, previous: str = GENESIS) -> bytes:
    """A line with a correct hash around any body."""
    text = body + b',"previous":"' + previous.encode() + b'"'
    return text + b',"hash":"' + hashlib.sha256(text).hexdigest().encode() + b'"}\n'


def folder_of(folder: Path, *lines: bytes) -> Path:
    """An audit log of one chain with these lines."""
    (folder / "1").mkdir()
    (folder / "1" / "audit-00000001.jsonl").write_bytes(b"".join(lines))
    return folder


def assert_nothing_to_interpret(text: str) -> None:
    assert [char for char in text if not char.isprintable() and char != "\n"] == []


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_forged_line_gets_a_verdict(hostile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder_of(tmp_path, forge(f'{{"sequence":1,{hostile}'.encode()))
    assert main(["audit", "verify", str(tmp_path)]) == FAILED
    shown = capsys.readouterr()
    assert "audit-00000001.jsonl:1: " in shown.err
    assert_nothing_to_interpret(shown.out + shown.err)


def test_a_number_that_python_refuses_is_no_line(tmp_path: Path) -> None:
    folder_of(tmp_path, forge(f'{{"sequence":{"9" * 5000},"event":"read","time":"t"'.encode()))
    assert verify_chain(tmp_path / "1")[0].fault
    with pytest.raises(AuditError, match="altered"):
        find_end(tmp_path / "1")


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=5)
FIELDS = st.dictionaries(st.sampled_from(["since", "lost", "torn_bytes", "torn_sha256", "label", "time"]), JSON)


@given(st.sampled_from(["gap", "torn", "read", "started", "other"]), st.text(), FIELDS, st.booleans())
def test_any_line_of_json_gets_a_verdict_and_is_shown(event: str, time: str, fields: dict[str, Any], raw: bool) -> None:
    head = {"sequence": 1, "event": event, "time": time}
    line = forge(json.dumps(head | fields, ensure_ascii=not raw, separators=(",", ":"))[:-1].encode(errors="replace"))
    with scratch() as folder:
        folder_of(folder, line)
        verify_chain(folder / "1")
    assert_nothing_to_interpret(format_line(line))


@given(st.lists(st.binary(max_size=200)), st.booleans())
def test_any_bytes_get_a_verdict_and_are_shown(lines: list[bytes], sealed: bool) -> None:
    content = [forge(b'{"sequence":1,"event":"read","time":"t"' + line) if sealed else line + b"\n" for line in lines]
    with scratch() as folder:
        folder_of(folder, *content)
        verify_chain(folder / "1")
        assert main(["audit", "tail", str(folder)]) == DONE
    for line in content:
        assert_nothing_to_interpret(format_line(line))


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_tail_shows_terminal_escapes_escaped(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"time": "t", "event": "gap", "since": ESCAPES, "lost": 1}
    folder_of(tmp_path, *(json.dumps(values, ensure_ascii=escaped).encode() + b"\n" for escaped in (True, False)))
    assert main(["audit", "tail", str(tmp_path), *options]) == DONE
    shown = capsys.readouterr().out
    assert_nothing_to_interpret(shown)
    assert "x1b[2J" in shown or "u001b[2J" in shown
    if options:
        assert [json.loads(line) for line in shown.splitlines()] == [values, values]


def test_a_copied_chain_is_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the copy, an expected line would still be present after the chain itself was cut."""
    with closing(Chain(tmp_path, 2**20)) as chain:
        for _ in range(4):
            chain.append([Stopped()])
    original = tmp_path / "1" / "audit-00000001.jsonl"
    shutil.copytree(tmp_path / "1", tmp_path / "2")
    lines = original.read_bytes().splitlines(keepends=True)
    original.write_bytes(b"".join(lines[:2]))
    assert main(["audit", "verify", str(tmp_path), "--expect", chain.head]) == FAILED
    assert "chains 1 and 2 hold the same line" in capsys.readouterr().err


def test_the_end_of_a_chain_copied_as_another_is_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(Chain(tmp_path, 1)) as chain:  # a file for each line
        for _ in range(5):
            chain.append([Stopped()])
    (tmp_path / "2").mkdir()
    files = sorted((tmp_path / "1").glob("*.jsonl"))
    for file in files[2:]:
        shutil.copy(file, tmp_path / "2")
    after = json.loads(files[1].read_text())["hash"]
    assert main(["audit", "verify", str(tmp_path), "--after", after]) == FAILED
    assert "chains 1 and 2 hold the same line" in capsys.readouterr().err
