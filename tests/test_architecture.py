"""The architecture rules: imports between rooms, nothing at import time, sizes of functions and modules, docstrings."""

import ast
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT

_VOCABULARY = {"settings", "wire", "errors", "problems"}
_READING = {*_VOCABULARY, "telemetry", "inference"}
_SERVICE = {*_READING, "access", "audit", "core"}
_PREPARING = {"errors", "networks", "data", "augmentation"}
_MEASURING = {*_PREPARING, "fitting", "evaluation"}
# Package -> room -> the rooms that it may import besides itself. A room is a folder or module of the package. They are
# in order: a room may import only rooms listed before it. docs/architecture.md shows the same table.
ROOMS: dict[str, dict[str, set[str]]] = {
    "service": {
        "settings": set(),
        "errors": set(),
        "wire": {"settings"},
        "problems": {"wire", "errors"},
        "telemetry": _VOCABULARY,
        "inference": {*_VOCABULARY, "telemetry"},
        "access": {*_VOCABULARY, "telemetry"},
        "audit": _READING,
        "core": {*_READING, "access", "audit"},
        "http": _SERVICE,
        "oip": {*_SERVICE, "http"},
        "edge": {*_VOCABULARY, "telemetry"},
        "workers": {*_SERVICE, "http", "oip", "edge"},
        "client": _VOCABULARY,
        "validation": {*_VOCABULARY, "inference", "audit", "client"},
        "bulk": {*_READING, "http", "client"},
        "cli": {*_SERVICE, "http", "workers", "client", "validation", "bulk"},
        "__main__": {"cli"},
    },
    "training": {
        "errors": set(),
        "networks": {"errors"},
        "data": {"errors"},
        "augmentation": {"errors", "data"},
        "fitting": _PREPARING,
        "evaluation": {*_PREPARING, "fitting"},
        "reporting": _MEASURING,
        "exporting": {*_MEASURING, "reporting"},
        "cli": {*_MEASURING, "reporting", "exporting"},
        "__main__": {"errors", "fitting", "cli"},
    },
    "dicom": {
        "format": set(),
        "attributes": {"format"},
        "pixels": {"format", "attributes"},
        "picture": {"format", "attributes", "pixels"},
        "results": {"format", "attributes"},
    },
    "node": {
        "config": set(),
        "header": set(),
        "pauses": set(),
        "credentials": {"config"},
        "transport": set(),
        "storage": {"config", "header", "pauses"},
        "monitor": {"storage"},
        "receiving": {"config", "header", "credentials", "transport", "storage", "monitor"},
        "analysis": {"config", "header", "pauses", "credentials", "storage", "monitor"},
        "delivery": {"config", "header", "pauses", "credentials", "transport", "storage", "monitor"},
        "running": {"config", "storage", "monitor", "receiving", "analysis", "delivery"},
        "commands": {"config", "storage", "running"},
        "__main__": {"commands"},
    },
}
# What a package may import of other packages of the project, where that is not a whole one.
PARTS = {
    "node": (
        "dicom",
        "service.client",
        "service.access.tls",
        "service.access.watch",
        "contract.io.files",
        "contract.io.messages",
        "contract.io.streams",
    )
}
_LOADS_A_MODEL = {"onnxruntime"}
_LEARNS = {"tensorflow", "keras", "tf2onnx", "onnx", "sklearn", "scipy", "matplotlib"}
_SERVES = {"fastapi", "starlette", "uvicorn"}
# Of the extra: what only dicom/ imports, and of pydicom node/ too.
_DICOM = {"pydicom", "highdicom", "imagecodecs"}
# The modules that import dicom/, when the first object comes: one of service/, one of training/.
READS_DICOM = ("service.inference.dicom", "training.data.objects")
# Of the extras bulk and cluster: what only this room imports.
_TABLES = {"pyarrow", "ray"}
_HAS_TABLES = "service.bulk"
# What a package, or one room of it, may not import from outside the project.
FORBIDDEN = {
    "contract": {"service", "training", "dicom", "node"},
    "dicom": {"service", "training", "node", "pynetdicom", "dicomweb_client"} | _LEARNS | _SERVES | _LOADS_A_MODEL,
    "node": {"training", "highdicom", "imagecodecs"} | _LEARNS | _SERVES | _LOADS_A_MODEL,
    "service": {"training", "dicom", "node", *_DICOM} | _LEARNS,
    "service.client": _SERVES | _LOADS_A_MODEL,
    "service.edge": {"fastapi", "starlette"} | _LOADS_A_MODEL,
    "service.errors": _SERVES | _LOADS_A_MODEL,
    "service.inference": _SERVES,
    "service.problems": _SERVES | _LOADS_A_MODEL,
    "service.settings": _SERVES | _LOADS_A_MODEL,
    "service.telemetry": _SERVES | _LOADS_A_MODEL,
    "service.validation": _SERVES | _LOADS_A_MODEL,
    "service.wire": _SERVES | _LOADS_A_MODEL,
    "training": {"service", "dicom", "node", *_DICOM} | _SERVES,
}
CONTRACT_NEEDS = {"numpy", "PIL", "pydantic", "pydantic_core", "contract"} | set(sys.stdlib_module_names)
PACKAGES = ("contract", "dicom", "service", "training", "node")
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]

_IMPORT_ALL = """
import importlib, os, pathlib, threading, warnings
before = dict(os.environ), list(warnings.filters), set(os.listdir("."))
for name in {names}:
    importlib.import_module(name)
changed = {{k for k, v in os.environ.items() if before[0].get(k) != v}}
assert changed == {{"ORT_DISABLE_TELEMETRY"}}, changed
assert set(os.listdir(".")) == before[2], "a file was written"
threads = [thread.name for thread in threading.enumerate()]
assert threads == ["MainThread"], threads
"""


def module_of(path: Path) -> str:
    """The dotted name of a module, a package by its own name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(tree: ast.AST, module: str) -> set[str]:
    """The dotted names that a module imports at any depth; for ``from a import b`` that is ``a.b``."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(module.split(".")[: -node.level]) if node.level else ""
            found |= {".".join(filter(None, (above, node.module, alias.name))) for alias in node.names}
    return found


def forbidden_imports(source: str, module: str) -> set[str]:
    """The imports of a module that are not allowed: rooms above its own, and packages."""
    package, room = [*module.split("."), "__init__"][:2]
    found = imported(ast.parse(source), module)
    outside = FORBIDDEN[package] | FORBIDDEN.get(f"{package}.{room}", set())
    wrong = {name for name in found if name.partition(".")[0] in outside}
    if module in READS_DICOM:
        wrong = {name for name in wrong if name.partition(".")[0] != "dicom"}
    if not module.startswith(_HAS_TABLES):
        wrong |= {name for name in found if name.partition(".")[0] in _TABLES}
    if package in PARTS:
        others = tuple(f"{other}." for other in PACKAGES if other != package)
        wrong |= {name for name in found if name.startswith(others) and not name.startswith(PARTS[package])}
    if package == "contract":
        return wrong | {name for name in found if name.partition(".")[0] not in CONTRACT_NEEDS}
    allowed = {room, *ROOMS[package].get(room, set())}
    rooms = {name: name.split(".")[1] for name in found if name.startswith(f"{package}.")}
    return wrong | {name for name, other in rooms.items() if other not in allowed}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or 0) - function.lineno + 1


@pytest.mark.parametrize("path", MODULES, ids=module_of)
def test_rooms_import_only_the_rooms_below_them(path: Path) -> None:
    assert forbidden_imports(path.read_text(), module_of(path)) == set()


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("service.inference.batching.batcher", "from service.http.routes import router"),
        ("service.inference.batching.batcher", "from service import core"),
        ("service.inference.batching.batcher", "from ...http import routes"),
        ("service.inference.batching.batcher", "def later():\n    import service.core"),
        ("service.inference.deeper.still", "from service.audit.recorder import AuditRecorder"),
        ("service.access.keys", "from service.http.openapi import header"),
        ("service.client.command", "from service.cli import commands"),
        ("service.client.remote", "import fastapi"),
        ("service.settings", "from service.wire import Health"),
        ("service.http.routes", "import keras"),
        ("service.newroom.module", "from service.core import Service"),
        ("training.data.split", "from training.fitting.config import TrainingConfig"),
        ("training.data.split", "from training.augmentation import shifts"),
        ("training.evaluation.metrics", "from training.reporting import tables"),
        ("training.cli.commands", "from service.inference.backend import OnnxBackend"),
        ("service.http.explain", "from dicom.picture import decode"),
        ("service.inference.dicom", "import pydicom"),
        ("dicom.picture", "from service.wire import Problem"),
        ("dicom.picture", "from dicom.results.report import report_of"),
        ("dicom.format.file", "from dicom.attributes.image import tags_of"),
        ("dicom.results.report", "import onnxruntime"),
        ("contract.image", "from dicom.picture import decode"),
        ("contract.image", "import onnxruntime"),
        ("service.client.results", "import pyarrow"),
        ("service.core", "import ray"),
        ("service.bulk.part", "from service.core import Service"),
        ("node.receiving.scp", "from node.running import Node"),
        ("node.receiving.scp", "from service.settings import Settings"),
        ("node.storage.spool", "from contract.image import to_pixels"),
        ("service.client.remote", "from node.config import Config"),
        ("contract.image", "from training.data.folder import find_radiographs"),
    ],
)
def test_a_forbidden_import_is_found(module: str, line: str) -> None:
    assert forbidden_imports(line, module)


def test_the_table_has_no_cycle_and_only_existing_rooms() -> None:
    for package, rooms in ROOMS.items():
        below: set[str] = set()
        for room, allowed in rooms.items():
            assert (ROOT / package / room).is_dir() or (ROOT / package / f"{room}.py").is_file()
            assert allowed <= below
            below.add(room)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_listing_shows_the_rooms(package: str) -> None:
    listed = [path for path in (ROOT / package).iterdir() if path.name != "__pycache__"]
    assert len(listed) <= 20
    modules = {path: len(list(path.glob("*.py"))) - 1 for path in listed if (path / "__init__.py").exists()}
    assert {room.name: count for room, count in modules.items() if count > 15} == {}
    repeated = [path for room in modules for path in room.glob("*.py") if path.stem.startswith(f"{room.name}_")]
    assert repeated == []


@pytest.mark.parametrize("package", ROOMS)
def test_the_tests_mirror_the_rooms(package: str) -> None:
    rooms = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    tested = {path.parent.name for path in (ROOT / "tests" / package).glob("*/__init__.py")}
    assert rooms == tested


def test_nothing_happens_at_import(tmp_path: Path) -> None:
    names = [module_of(path) for path in MODULES if path.relative_to(ROOT).parts[0] != "training"]
    program = _IMPORT_ALL.format(names=[name for name in names if not name.endswith("__main__")])
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program}"]
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)


def test_functions_are_short() -> None:
    lengths = {
        f"{module_of(path)}:{function.name}": length(function)
        for path in MODULES
        for function in functions(ast.parse(path.read_text()))
    }
    assert statistics.median(lengths.values()) <= 10
    assert {name: lines for name, lines in lengths.items() if lines > 50} == {}


def test_modules_have_at_most_250_lines() -> None:
    lines = {module_of(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > 250} == {}


@pytest.mark.parametrize("path", MODULES, ids=module_of)
def test_what_is_public_is_documented(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    definitions = [
        node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    public = [node for node in definitions if not node.name.startswith("_")]
    methods = [node for owner in public if isinstance(owner, ast.ClassDef) for node in owner.body]
    public += [node for node in methods if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [node.name for node in public if node.name[0] != "_" and not ast.get_docstring(node)] == []


def test_no_path_or_registry_of_one_machine_is_named() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("git is not installed, or this is not a checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    words = ["/" + "work/", "/" + "root/", "pypi" + ".org", "pythonhosted" + ".org"]
    found = []
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix not in {".onnx", ".png"} and path.exists():
            found += [f"{name}: {word}" for word in words if word in path.read_text(errors="replace")]
    assert found == []
