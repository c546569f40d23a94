"""What a hostile server says is shown by the client, and never interpreted by the terminal."""

import json
import sys
from pathlib import Path

import pytest

from service.__main__ import main
from service.wire import printable, printable_json
from tests.drawings import jpeg
from tests.e2e.scripted import Step, answer, scripted

# Clears the screen, sets the clipboard, C1 and DEL, reverses the direction of text.
ESCAPES = "\x1b[2J\x1b]52;c;cm0=\x07\x9b31m\x7f\u202e"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "x.jpeg"
    path.write_bytes(jpeg())
    return path


def hostile(status: int, slug: str) -> Step:
    members = dict.fromkeys(["title", "detail", "request_id"], f"says {ESCAPES}")
    body = json.dumps({**members, "type": f"/problems/{slug}", "status": status}, ensure_ascii=False)
    return Step(status, body.encode(), "application/problem+json")


@pytest.mark.parametrize("kind", ["table", "csv", "jsonl", "json"])
@pytest.mark.parametrize(
    "step",
    [
        hostile(401, "unauthorized"),
        hostile(422, "truncated-image"),
        hostile(422, "unknown-operating-point"),
        hostile(422, ESCAPES),
        hostile(503, "overloaded"),
        Step(200, answer().body.replace(b"balanced", b"\\u001b[2J\\u202e")),
        Step(200, answer().body.replace(b"NORMAL", b"\xc2\x9b31m")),
        Step(302, b"", "text/\x9bhtml", {"Location": "x\x9b31m"}),
    ],
    ids=["401", "422", "point", "slug", "503", "answer", "label", "redirect"],
)
def test_a_hostile_server_does_not_control_the_terminal(
    step: Step, kind: str, image: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    with scripted(step) as server:
        main(["predict", "--url", server.url, "--give-up-after", "0.1", "--format", kind, str(image)])
    shown = capsys.readouterr()
    assert [char for char in shown.out + shown.err if not char.isprintable() and char != "\n"] == []
    assert shown.out + shown.err


def test_a_file_has_what_was_sent(image: Path, tmp_path: Path) -> None:
    with scripted(hostile(422, "truncated-image")) as server:
        main(["predict", "--url", server.url, "--output", str(tmp_path / "out.csv"), str(image)])
    assert ESCAPES in (tmp_path / "out.csv").read_text()


def test_what_is_printable_stays_as_it_is() -> None:
    assert printable("Röntgen, 50 % ≥ [red]") == "Röntgen, 50 % ≥ [red]"
    assert printable("a\n\x1b", keep="\n") == "a\n\\x1b"
    assert json.loads(printable_json(json.dumps(ESCAPES + "\U000e0001", ensure_ascii=False))) == ESCAPES + "\U000e0001"
