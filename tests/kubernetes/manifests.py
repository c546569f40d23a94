"""Reads the manifests: as they are written, and as kustomize puts them together."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests import ROOT
from tests.commands import run
from tests.programs import needs

Object = dict[str, Any]
FOLDER = ROOT / "deploy" / "kubernetes"
# The overlays use what kustomize 5 knows.
KUBECTL = needs("kubectl", "version", at_least=(1, 27), ask="--client", package="kubernetes-client")


@cache
def _read(path: Path) -> tuple[Object, ...]:
    return tuple(yaml.safe_load_all(path.read_text()))


def written(file: str, kind: str) -> Object:
    """The object of this kind in a file of ``deploy/kubernetes``, as it stands there."""
    (found,) = [each for each in _read(FOLDER / file) if each["kind"] == kind]
    return found


@cache
def built(overlay: str) -> tuple[Object, ...]:
    """All objects of an overlay, from ``kubectl kustomize``."""
    done = run(["kubectl", "kustomize", FOLDER / overlay])
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(objects: tuple[Object, ...], kind: str) -> Object:
    """The only object of this kind."""
    (found,) = [each for each in objects if each["kind"] == kind]
    return found


def pod(deployment: Object) -> Object:
    """The PodSpec of a Deployment."""
    found: Object = deployment["spec"]["template"]["spec"]
    return found


def container(pod_spec: Object) -> Object:
    """The only container of a pod."""
    (found,) = pod_spec["containers"]
    return dict(found)


_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def size(quantity: str) -> int:
    """Bytes of a quantity as Kubernetes (1Gi) or compose (1g) writes it."""
    number, unit = re.fullmatch(r"(\d+)(\w*)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * _UNITS[unit]
