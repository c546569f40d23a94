"""The documents are complete and correct: every setting, problem, metric, link and command in them exists, and every
one that exists is documented.
"""

import argparse
import re
import subprocess
from pathlib import Path

import pytest

from service import problems
from service.audit.line import Event
from service.bulk import command as bulk_command
from service.client.options import add_options
from service.client.results import COLUMNS
from service.problems import COMMAND_LINE
from service.settings import Settings
from service.settings.describing import describe
from tests import BUNDLED_MODEL, ROOT
from tests.conftest import Connect, MakeService
from tests.test_architecture import ROOMS
from training.__main__ import main as training_command
from training.evaluation.stress import REALISTIC

# Files that an administrator creates.
CREATED_BY_USERS = {"deploy/proxy/tls/tls.crt", "deploy/proxy/tls/tls.key"}
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def text(name: str) -> str:
    return (ROOT / name).read_text()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_default_and_range(name: str) -> None:
    setting = describe(name)
    unit_and_range = " ".join(part for part in (setting.range, setting.unit) if part)
    row = f"| `{setting.variable}` | {setting.default} | {unit_and_range} | {setting.meaning} |"
    assert row in text("docs/settings.md")


def test_every_documented_setting_exists() -> None:
    named = {name for path in DOCUMENTS for name in re.findall(r"XRAY_([A-Z0-9_]*[A-Z0-9])", path.read_text())}
    assert named - {name.upper() for name in Settings.model_fields} == {"CLIENT_KEY", "CONFIG", "DATA"}


def test_every_problem_is_documented_and_no_other() -> None:
    kinds = {kind.slug: kind.status for kind in (*problems.TABLE.values(), problems.INTERNAL, *COMMAND_LINE)}
    kinds |= {"not-found": 404, "method-not-allowed": 405}
    proxy = re.findall(r'"/problems/([a-z-]+)".*?"status": (\d+)', text("deploy/proxy/problems.conf"))
    kinds |= {slug: int(status) for slug, status in proxy}
    sections = dict(re.findall(r"^## (\S+)\n(.*)", text("docs/errors.md"), re.M))
    assert sections.keys() == kinds.keys()
    for slug, first_line in sections.items():
        theirs = slug in {kind.slug for kind in COMMAND_LINE}
        assert first_line.startswith("On the command line only: " if theirs else str(kinds[slug]))


@pytest.mark.anyio
async def test_every_metric_is_documented(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        families = re.findall(r"^# TYPE (xray_\S+)", (await client.get("/metrics")).text, re.M)
    metrics = {name for name in families if not name.endswith("_created")}
    assert len(metrics) >= 10
    assert {name for name in metrics if f"`{name}" not in text("docs/operations.md")} == set()


@pytest.mark.parametrize("event", Event.__subclasses__(), ids=lambda event: event.__name__)
def test_every_event_and_field_of_the_audit_is_documented(event: type[Event]) -> None:
    names = {event.model_fields["event"].default, *event.model_fields, "sequence", "previous", "hash"}
    assert {name for name in names if f"`{name}`" not in text("docs/audit.md")} <= {"read"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_work(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def test_every_make_target_of_the_readme_exists_and_help_lists_them() -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", text("Makefile"), re.M))
    assert set(re.findall(r"^    make ([a-z]+)", text("README.md"), re.M)) == {"run", "test"}
    assert {
        "run",
        "test",
        "lint",
        "pacs",
        "cluster",
        "check",
        "format",
        "lock",
        "openapi",
        "store",
        "docs",
        "screenshots",
        "bench",
        "soak",
        "torture",
        "offline",
        "release",
        "images",
        "clean",
        "help",
    } == targets
    shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert all(re.search(rf"^{target}\b", shown, re.M) for target in targets)


def test_every_training_command_is_documented_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        training_command(["--help"])
    commands = re.search(r"\{([a-z,]+)\}", capsys.readouterr().out)
    assert commands
    assert re.findall(r"^\| `([a-z]+)` \|", text("docs/training.md"), re.M) == commands[1].split(",")


def test_every_option_of_the_client_is_documented_and_no_other() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser)
    options = [option for action in parser._actions for option in action.option_strings]
    assert sorted(re.findall(r"^\| `(--[a-z-]+)", text("docs/client.md"), re.M)) == sorted(options)


def test_every_option_of_bulk_is_documented_and_no_other() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    bulk_command.add_options(parser)
    options = [option for action in parser._actions for option in action.option_strings]
    assert sorted(re.findall(r"^\| `(--[a-z-]+)", text("docs/bulk.md"), re.M)) == sorted([*options])


def test_every_column_of_the_client_s_csv_is_documented() -> None:
    assert ",".join(COLUMNS) in text("docs/client.md")


@pytest.mark.parametrize("name", ["docs/training.md", "CHANGELOG.md"])
def test_the_number_of_shifts_is_right(name: str) -> None:
    assert re.findall(r"(\d+) realistic shifts", text(name)) == [str(len(REALISTIC))]


def test_the_figures_of_the_readme_are_the_model_card_s() -> None:
    auc = re.search(r"AUC \| ([\d.]+) \(([\d.]+) to ([\d.]+)\)", (BUNDLED_MODEL / "MODEL_CARD.md").read_text())
    assert auc
    assert f"{auc[1]} (95 % interval {auc[2]} to {auc[3]})" in text("README.md")


def test_every_decision_has_its_number_and_status() -> None:
    paths = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(path.name[:4]) for path in paths]
    assert len(set(numbers)) == len(numbers) > 10
    for number, path in zip(numbers, paths, strict=True):
        assert path.read_text().startswith(f"# {number}. ")
        assert "Status: " in path.read_text()


def test_the_readme_has_at_most_110_lines() -> None:
    assert len(text("README.md").splitlines()) <= 110


def rooms_of_architecture(package: str) -> dict[str, set[str]]:
    """The table of rooms in docs/architecture.md, its abbreviations written out."""
    _, _, after = text("docs/architecture.md").partition(f"| room of `{package}/` ")
    table, _, _ = after.partition("\n\n")
    rooms: dict[str, set[str]] = {}
    for room, allowed in re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", table, re.M):
        named = set(re.findall(r"`(\w+)`", allowed))
        named |= {"settings", "errors", "wire", "problems"} if allowed.startswith("the vocabulary") else set()
        rooms[room] = set(rooms) - named if allowed.startswith("all above") else named
    return rooms


@pytest.mark.parametrize("package", ROOMS)
def test_architecture_shows_the_rooms_and_their_imports(package: str) -> None:
    assert rooms_of_architecture(package) == ROOMS[package]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_of_the_project_that_is_named_exists(path: Path) -> None:
    folders = "benchmarks|contract|deploy|models|service|tests|training"
    named = set(re.findall(rf"(?<![\w./-])(?:{folders})/[\w./-]*\w\.\w+", path.read_text()))
    assert {name for name in named if not (ROOT / name).exists()} <= CREATED_BY_USERS


@pytest.mark.parametrize("extra", ["bulk", "client", "cluster", "cpu", "dicom", "gpu", "store", "training", "dev"])
def test_locks_are_pinned_with_hashes_and_name_no_registry(extra: str) -> None:
    lock = text(f"requirements/{extra}.txt")
    entries = re.findall(r"^(\S+?)==\S+", lock, re.M)
    assert len(entries) >= 15
    assert lock.count("--hash=sha256:") >= len(entries)
    assert "://" not in lock
    assert ("tensorflow-cpu" in lock) == (extra in {"training", "dev"})
