"""The command line itself: Ctrl-C while it is imported, completion by a shell, help."""

import os
import sys
from contextlib import closing
from pathlib import Path

import pytest

from service.__main__ import DONE, FAILED, INTERRUPTED, main
from service.audit.chain import Chain
from service.audit.line import Stopped
from tests import ROOT
from tests.commands import SERVICE, run

# Sends Ctrl-C to itself when a module is imported, as a user may at any time.
_INTERRUPTED = """
import os, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from service.__main__ import main
sys.exit(main({arguments!r}))
"""


@pytest.mark.parametrize("module", ["pydantic", "service.validation.command", "onnxruntime"])
def test_an_interrupt_during_the_imports_is_silent(module: str, tmp_path: Path) -> None:
    arguments = ["predict", str(tmp_path)]
    (tmp_path / "x.jpeg").touch()
    ended = run([sys.executable, "-c", _INTERRUPTED.format(module=module, arguments=arguments)], cwd=ROOT)
    assert (ended.returncode, ended.stdout, ended.stderr) == (INTERRUPTED, "", "")


@pytest.mark.parametrize("command", ["openapi", "settings", "audit tail FOLDER", "audit verify --json FOLDER"])
def test_a_reader_that_is_gone_ends_a_command_without_a_message(command: str, tmp_path: Path) -> None:
    """Whether what is printed is more than a buffer holds, or less."""
    with closing(Chain(tmp_path, 1)) as chain:
        chain.append([Stopped()])
    words = [str(tmp_path) if word == "FOLDER" else word for word in command.split()]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        ended = run([*SERVICE, *words], cwd=ROOT, stdout=closed)
    assert (ended.returncode, ended.stderr) == (FAILED, "")


def completions(line: str, folder: Path) -> set[str]:
    """What a shell offers after this line."""
    out = folder / "completions"
    environment = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(out),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }
    program = "import sys; sys.argv[0] = 'xray-service'; from service.__main__ import main; sys.exit(main())"
    run([sys.executable, "-c", program], cwd=ROOT, env=os.environ | environment)
    return {word.strip() for word in out.read_text().split("\n")}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("xray-service se", {"serve", "settings"}),
        ("xray-service serve --dev", {"--device"}),
        ("xray-service serve --device ", {"auto", "cpu", "cuda"}),
        ("xray-service predict --format j", {"json", "jsonl"}),
        ("xray-service audit ", {"verify", "tail"}),
    ],
)
def test_a_shell_completes_commands_options_and_choices(line: str, offered: set[str], tmp_path: Path) -> None:
    assert offered <= completions(line, tmp_path)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_makes_a_shell_complete_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == DONE
    assert "xray-service" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("serve", ["--device {auto,cpu,cuda}", "--deadline-s SECONDS", "1 to 64. Default: 1.", "--model-key PATH"]),
        ("predict", ["--format {table,json,jsonl,csv}", "--guard {warn,refuse,off}", "xray-service settings --help"]),
    ],
)
def test_the_help_shows_choices_units_and_limits(
    command: str, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert {word for word in words if word not in shown} == set()
