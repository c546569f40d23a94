"""Prints a software bill of materials (CycloneDX): Python packages, models, and of an image also the Debian packages.

    python deploy/sbom.py VENV MODELS VERSION [application]

Run by the Dockerfile's sbom stages and, for the wheel (``application``), by deploy/release.sh, with cyclonedx-bom
installed (requirements/sbom.txt).
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

_VERSION = SchemaVersion.V1_6


def python_packages(venv: Path) -> dict[str, Any]:
    """The CycloneDX document of a virtual environment, made by cyclonedx-bom; the other components are added to it."""
    command = [
        *(sys.executable, "-m", "cyclonedx_py", "environment", str(venv / "bin" / "python")),
        *("--output-format", "JSON", "--spec-version", _VERSION.to_version(), "--output-reproducible"),
    ]
    document: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return document


def system_packages() -> list[dict[str, Any]]:
    """Components for the Debian packages of the base image."""
    form = "${Package}\t${Version}\t${Architecture}\n"
    listed = subprocess.run(["dpkg-query", "-W", "-f", form], check=True, capture_output=True, text=True).stdout
    return [_system_package(*line.split("\t")) for line in listed.splitlines()]


def _system_package(name: str, version: str, architecture: str) -> dict[str, Any]:
    purl = f"pkg:deb/debian/{name}@{version}?arch={architecture}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def models(folder: Path) -> list[dict[str, Any]]:
    """Components for the graphs of all bundles, with their SHA-256."""
    return [_model(path) for path in sorted(folder.glob("*/*/*.onnx"))]


def _model(path: Path) -> dict[str, Any]:
    name, version, file = path.parts[-3:]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"{name}/{version}/{file}",
        "name": f"{name}/{file}",
        "version": version,
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}],
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }


def main() -> int:
    """Print the document. Returns 1, and prints none, if it does not conform to its schema."""
    venv, folder, version, *kinds = sys.argv[1:]
    kind = kinds[0] if kinds else "container"
    document = python_packages(Path(venv))
    document["metadata"]["component"] = {"type": kind, "name": "xray-inference", "version": version}
    document["components"] += [*(system_packages() if kind == "container" else []), *models(Path(folder))]
    text = json.dumps(document, indent=1)
    if error := JsonStrictValidator(_VERSION).validate_str(text):
        print(f"sbom: {error}", file=sys.stderr)
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
