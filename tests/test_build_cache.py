"""The cache of trained networks: its key covers everything it is built from, and one process builds an entry."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.build_cache import cache_key, cached, installed_packages
from tests.waiting import DEADLINE_S

VERSIONS = {"keras": "3.12", "numpy": "2.4"}
_PROGRAM = """
import sys
from pathlib import Path
from tests.build_cache import cached

def build(entry):
    with Path(sys.argv[2]).open("a") as calls:
        calls.write("built\\n")
    (entry / "file").write_text("content")

print((cached(Path(sys.argv[1]), "key", build) / "file").read_text())
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    (folder / "room").mkdir(parents=True)
    for name in ("a.py", "room/b.py"):
        (folder / name).write_text(f"# {name}\n")
    return folder


def build(entry: Path) -> None:
    (entry / "file").write_text("content")


def test_the_key_covers_names_and_contents_of_sources_and_versions_of_packages(sources: Path) -> None:
    key = cache_key([sources], VERSIONS)
    keys = {key, cache_key([sources], VERSIONS | {"keras": "3.13"}), cache_key([sources / "a.py"], VERSIONS)}
    (sources / "room" / "b.py").write_text("# b.py\n")
    keys.add(cache_key([sources], VERSIONS))
    (sources / "room" / "b.py").rename(sources / "room" / "c.py")
    keys.add(cache_key([sources], VERSIONS))
    assert len(keys) == 5
    (sources / "room" / "c.py").rename(sources / "room" / "b.py")
    (sources / "room" / "b.py").write_text("# room/b.py\n")
    (sources / "room" / "b.pyc").touch()
    assert cache_key([sources], dict(reversed(VERSIONS.items()))) == key


def test_the_installed_packages_have_versions() -> None:
    assert installed_packages()["pytest"] == pytest.__version__


def test_an_entry_is_built_once_and_entries_of_other_keys_are_removed(tmp_path: Path) -> None:
    old, new = cached(tmp_path, "old", build), cached(tmp_path, "new", build)
    assert cached(tmp_path, "new", lambda _: pytest.fail("built again")) == new
    assert not old.exists()


@pytest.mark.parametrize("damage", ["changed", "removed", "added", "moved"])
def test_a_damaged_entry_is_built_again(tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "cache"
    file = cached(cache, "key", build) / "file"
    if damage == "removed":
        file.unlink()
    elif damage == "moved":
        cache = cache.rename(tmp_path / "elsewhere")
    else:
        (file if damage == "changed" else file.with_name("more")).write_text("damage")
    entry = cached(cache, "key", build)
    assert (entry / "file").read_text() == "content"
    assert [path.name for path in entry.iterdir() if path.suffix != ".json"] == ["file"]


def test_a_build_that_failed_is_tried_again(tmp_path: Path) -> None:
    def fail(entry: Path) -> None:
        build(entry)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cached(tmp_path, "key", fail)
    assert (cached(tmp_path, "key", build) / "file").read_text() == "content"


def test_one_of_several_processes_builds(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path / "cache"), str(tmp_path / "calls")]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=DEADLINE_S)[0] for process in processes] == ["content\n"] * 3
    assert (tmp_path / "calls").read_text() == "built\n"
