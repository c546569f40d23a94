"""What is made once: a key for all it is made of, one maker, and nothing that is half made or was changed since."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.made_once import key_of, made_once, packages
from tests.waiting import DEADLINE_S

VERSIONS = {"keras": "3.12", "numpy": "2.4"}
_PROGRAM = """
import sys
from pathlib import Path
from tests.made_once import made_once

def make(folder):
    with Path(sys.argv[2]).open("a") as calls:
        calls.write("made\\n")
    (folder / "file").write_text("content")

print((made_once(Path(sys.argv[1]), "key", make) / "file").read_text())
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    (folder / "room").mkdir(parents=True)
    for name in ("a.py", "room/b.py"):
        (folder / name).write_text(f"# {name}\n")
    return folder


def write(folder: Path) -> None:
    (folder / "file").write_text("content")


def test_a_key_is_of_the_sources_names_and_bytes_and_of_the_versions(sources: Path) -> None:
    key = key_of([sources], VERSIONS)
    keys = {key, key_of([sources], VERSIONS | {"keras": "3.13"}), key_of([sources / "a.py"], VERSIONS)}
    (sources / "room" / "b.py").write_text("# b.py\n")
    keys.add(key_of([sources], VERSIONS))
    (sources / "room" / "b.py").rename(sources / "room" / "c.py")
    keys.add(key_of([sources], VERSIONS))
    assert len(keys) == 5
    (sources / "room" / "c.py").rename(sources / "room" / "b.py")
    (sources / "room" / "b.py").write_text("# room/b.py\n")
    (sources / "room" / "b.pyc").touch()
    assert key_of([sources], dict(reversed(VERSIONS.items()))) == key


def test_what_is_installed_is_known() -> None:
    assert packages()["pytest"] == pytest.__version__


def test_it_is_made_once_and_those_of_other_keys_are_removed(tmp_path: Path) -> None:
    made = [made_once(tmp_path, "old", write), made_once(tmp_path, "new", write)]
    again = made_once(tmp_path, "new", lambda _: pytest.fail("it is there"))
    assert again == made[1]
    assert not made[0].exists()


@pytest.mark.parametrize("harm", ["changed", "removed", "added", "elsewhere"])
def test_what_is_not_as_it_was_made_is_made_again(tmp_path: Path, harm: str) -> None:
    shelf = tmp_path / "shelf"
    file = made_once(shelf, "key", write) / "file"
    if harm == "removed":
        file.unlink()
    elif harm == "elsewhere":
        shelf = shelf.rename(tmp_path / "moved")
    else:
        (file if harm == "changed" else file.with_name("more")).write_text("harm")
    again = made_once(shelf, "key", write)
    assert [(path.name, path.read_text()) for path in again.iterdir() if path.suffix != ".json"] == [
        ("file", "content")
    ]


def test_what_could_not_be_made_is_tried_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        write(folder)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        made_once(tmp_path, "key", fail)
    assert (made_once(tmp_path, "key", write) / "file").read_text() == "content"


def test_of_several_processes_one_makes_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path / "shelf"), str(tmp_path / "calls")]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=DEADLINE_S)[0] for process in processes] == ["content\n"] * 3
    assert (tmp_path / "calls").read_text() == "made\n"
