"""The layout, kept: which way the arrows point, what happens at import, how long things get, what is documented."""

import ast
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

PACKAGES = ("contract", "service", "training")
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).glob("*.py"))]
FORBIDDEN = {
    "contract": {"service", "training", "fastapi", "tensorflow", "keras", "onnxruntime", "onnx", "sklearn"},
    "service": {"training", "tensorflow", "keras", "tf2onnx", "onnx", "sklearn", "scipy", "matplotlib"},
    "training": {"service", "fastapi", "starlette", "uvicorn"},
}
CONTRACT_NEEDS = {"numpy", "PIL", "pydantic", "contract"} | set(sys.stdlib_module_names)

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


def identity(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(tree: ast.AST) -> set[str]:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or 0) - function.lineno + 1


@pytest.mark.parametrize("path", MODULES, ids=identity)
def test_arrows_point_one_way(path: Path) -> None:
    found = imported(ast.parse(path.read_text()))
    assert not found & FORBIDDEN[path.parent.name]
    if path.parent.name == "contract":
        assert found <= CONTRACT_NEEDS


def test_nothing_happens_at_import(tmp_path: Path) -> None:
    names = [f"{path.parent.name}.{path.stem}" for path in MODULES if path.parent.name != "training"]
    program = _IMPORT_ALL.format(names=[name for name in names if not name.endswith("__")])
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program}"]
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=60)


def test_functions_are_short() -> None:
    lengths = {
        f"{identity(path)}:{function.name}": length(function)
        for path in MODULES
        for function in functions(ast.parse(path.read_text()))
    }
    assert statistics.median(lengths.values()) <= 10
    assert {name: lines for name, lines in lengths.items() if lines > 50} == {}


def test_modules_are_one_idea() -> None:
    lines = {identity(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > 250} == {}


@pytest.mark.parametrize("path", MODULES, ids=identity)
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
        pytest.skip("git is not installed, or this is no checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    words = ["/" + "work/", "/" + "root/", "pypi" + ".org", "pythonhosted" + ".org"]
    found = []
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix not in {".onnx", ".png"} and path.exists():
            found += [f"{name}: {word}" for word in words if word in path.read_text(errors="replace")]
    assert found == []
