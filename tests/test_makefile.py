"""The Makefile's environment: what a site has set for other programs of Python does not reach ours."""

import os

import pytest

from tests import ROOT
from tests.commands import run
from tests.programs import needs


@needs("make")
@pytest.mark.parametrize("name", ["PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER"])
def test_packages_go_into_the_environment_of_this_project_and_come_from_there(name: str) -> None:
    done = run(["make", "--silent", "--eval", "show:;@env", "show"], cwd=ROOT, env=os.environ | {name: "/of/the/site"})
    assert done.returncode == 0, done.stderr
    assert f"{name}=/of/the/site" not in done.stdout
    assert "PIP_USER=0" in done.stdout
