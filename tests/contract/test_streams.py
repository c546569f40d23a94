"""Standard streams, in processes that are started in unusual ways."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contract.io.streams import run_command
from tests import ROOT
from tests.commands import run
from tests.drawings import png
from tests.node.running import write_config
from tests.programs import needs
from tests.waiting import until

PRINT = "from contract.io.streams import prepare_streams; import os, sys; prepare_streams(); "
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run(["sh", "-c", f"exec {sys.executable} {line}"], cwd=ROOT, env=os.environ | environment)


@pytest.mark.parametrize("closed", ["2>&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_what_is_opened_does_not_take_the_place_of_a_closed_stream(closed: str, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    code = f"{PRINT} os.open('{opened}', os.O_CREAT | os.O_WRONLY); sys.stderr.write('said'); os.write(2, b'said')"
    ended = shell(f'-c "{code}" {closed}')
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert opened.read_bytes() == b""


def test_what_is_written_to_a_closed_output_fails() -> None:
    ended = shell(f'-c "{PRINT} print(1, flush=True)" >&-')
    assert "Bad file descriptor" in ended.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_output_is_utf_8_whatever_the_locale_is(encoding: str) -> None:
    ended = shell(f"-c \"{PRINT} print('\\u2192\\udcff')\"", PYTHONIOENCODING=encoding)
    assert (ended.returncode, ended.stdout) == (0, "→\\udcff\n")


def test_messages_of_a_command_without_stderr_are_not_among_its_results(bundle_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "Müller→.png").write_bytes(png())
    line = f"-m service predict --model {bundle_folder} --format csv {tmp_path} {tmp_path / 'missing'} 2>&-"
    ended = shell(line, PYTHONIOENCODING="latin-1")
    assert ended.returncode == 1
    assert [row.split(",")[0] for row in ended.stdout.splitlines()] == [
        "file",
        str(tmp_path / "Müller→.png"),
        str(tmp_path / "missing"),
    ]


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("service settings --json", "xray-service"),
        ("service completion bash", "xray-service"),
        ("service --help", "xray-service"),
        ("node --help", "xray-node"),
        ("training --help", "training"),
    ],
)
def test_an_output_that_fails_is_one_line_and_a_closed_pipe_none(command: str, name: str) -> None:
    full = shell(f"-m {command} >/dev/full", PYTHONUNBUFFERED="")
    assert (full.returncode, full.stderr) == (1, f"{name}: cannot write the output: No space left on device\n")
    closed = shell(f"-m {command} >&-", PYTHONUNBUFFERED="")
    assert (closed.returncode, closed.stderr) == (1, f"{name}: cannot write the output: Bad file descriptor\n")


def test_so_it_is_with_the_commands_of_training(tmp_path: Path) -> None:
    for label in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "data" / label).mkdir(parents=True)
        (tmp_path / "data" / label / "person1_1.png").write_bytes(png())
    ended = shell(
        f"-m training pack --data {tmp_path / 'data'} --out {tmp_path / 'out'} >/dev/full", PYTHONUNBUFFERED=""
    )
    said = ended.stderr.splitlines()  # after the lines of TensorFlow
    assert (ended.returncode, said[-1]) == (1, "training: cannot write the output: No space left on device")
    assert "Traceback" not in ended.stderr


def test_a_failing_output_hides_no_error_of_a_file() -> None:
    def fail() -> int:
        raise FileNotFoundError(errno.ENOENT, "missing", "a")

    with pytest.raises(FileNotFoundError):
        run_command(fail, print)


@needs("unshare", package="util-linux")
@pytest.mark.parametrize(
    "command", [["-m", "service", "serve", "--port", "0"], ["-m", "node", "--config", "node.toml"]]
)
def test_a_container_that_is_stopped_while_it_starts_ends_at_once(command: list[str], tmp_path: Path) -> None:
    """As the first process, for which a signal that is not handled has no effect."""
    folder = write_config(tmp_path, "http://127.0.0.1:9", 9)
    line = [sys.executable, *(str(folder) if word == "node.toml" else word for word in command)]
    isolated = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if run([*isolated, "true"]).returncode:
        pytest.skip("no PID namespace can be made here")
    with subprocess.Popen([*isolated, *line], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        until(lambda: _stop_child(process))
    assert process.returncode == 128 + signal.SIGTERM


def _stop_child(process: subprocess.Popen[bytes]) -> bool:
    """Send SIGTERM to the child of a process. Returns whether the process has ended."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for child in children.read_text().split() if children.exists() else []:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGTERM)
    return process.poll() is not None
