"""The wheel has all that the installed service needs, and finds it."""

import os
import sys
import zipfile
from pathlib import Path

import pytest

from tests import ROOT
from tests.commands import run

# Run where no clone is: prints what the installed package takes for the bundled model and the pages about problems.
_INSTALLED = """
from contract.bundle import read_bundle
from service.http.documents.problems import _sections
from service.http.page_files import page_router
from service.settings import Settings

folder = Settings().model
bundle = read_bundle(folder)
print(folder.relative_to({folder!r}), bundle.manifest.name, len(_sections()) > 50, len(page_router().routes))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    built = run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT)
    assert built.returncode == 0, built.stderr
    [path] = folder.glob("*.whl")
    return path


def test_it_holds_the_code_the_page_and_the_models(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for folder in ("models", "docs"):
            for name in (each for each in names if each.startswith(f"service/shipped/{folder}/")):
                assert archive.read(name) == (ROOT / name.removeprefix("service/shipped/")).read_bytes()
    of_models = {path.relative_to(ROOT) for path in (ROOT / "models").rglob("*") if path.is_file()}
    assert {f"service/shipped/{path}" for path in of_models} <= names
    assert "service/shipped/docs/errors.md" in names
    for package in ("contract", "dicom", "node", "service", "training"):
        files = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*") if path.is_file()}
        assert {name for name in files if "__pycache__" not in name} <= names
    others = {name.partition("/")[0] for name in names} - {"contract", "dicom", "node", "service", "training"}
    assert [name for name in others if not name.endswith(".dist-info")] == []
    assert {f"{next(iter(others))}/licenses/{name}" for name in ("LICENSE", "NOTICE")} <= names


def test_what_is_installed_finds_its_model_and_pages(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = _INSTALLED.format(folder=str(tmp_path))
    ended = run([sys.executable, "-c", program], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert ended.stdout.split()[0].startswith("service/shipped/models/pneumonia/"), ended.stderr
    assert ended.stdout.split()[1:] == ["pneumonia", "True", "2"]
