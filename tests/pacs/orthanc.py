"""Orthanc as a PACS: a process with an empty store, asked by REST, QIDO-RS and WADO-RS."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests import ROOT
from tests.commands import run
from tests.waiting import DEADLINE_S, until

HTTP_PORT, DICOM_PORT, NODE_PORT = 18042, 14242, 11112  # nothing else listens in the namespace
_PLUGINS = "/usr/share/orthanc/plugins"


class Orthanc:
    """A PACS. ``start`` and ``stop`` may be called again; the store stays."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._log = folder, folder / "orthanc.log"
        settings = {
            "StorageDirectory": str(folder / "store"),
            "IndexDirectory": str(folder / "store"),
            "HttpPort": HTTP_PORT,
            "DicomPort": DICOM_PORT,
            "DicomAet": "PACS",
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": True,
            "StableAge": 1,
            "ConcurrentJobs": 12,
            "JobsHistorySize": 10_000,  # by default only the last 10 jobs are kept, failed ones too
            "DicomModalities": {"node": {"AET": "XRAYNODE", "Host": "127.0.0.1", "Port": NODE_PORT}},
            "Plugins": [f"{_PLUGINS}/libOrthancDicomWeb.so", f"{_PLUGINS}/libOrthancGdcm.so"],
            "LuaScripts": [str(ROOT / "deploy" / "orthanc" / "route.lua")],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": True},
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = httpx.Client(base_url=f"http://127.0.0.1:{HTTP_PORT}", timeout=DEADLINE_S)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as log:
            command = ["Orthanc", str(self._folder / "orthanc.json")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        until(self._answers, lambda: self._log.read_text()[-4000:])

    def stop(self) -> None:
        """Stop it."""
        if self._process:
            self._process.terminate()
            self._process.wait(DEADLINE_S)
        self._process = None

    def close(self) -> None:
        """Stop it for good."""
        self.stop()
        self._rest.close()

    def instances(self) -> list[dict[str, Any]]:
        """Every instance, by REST: SOP Class UID, SOP Instance UID, StudyInstanceUID and Modality."""
        found = []
        for entry in self._get("/instances?expand"):
            tags = self._get(f"/instances/{entry['ID']}/simplified-tags")
            found.append(
                {name: tags[name] for name in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "Modality")}
            )
        return found

    def count(self) -> int:
        """How many instances there are, by REST."""
        return int(self._get("/statistics")["CountInstances"])

    def modalities(self, study: str) -> Counter[str]:
        """How many instances of each modality a study has, by QIDO-RS."""
        found = self._get(f"/dicom-web/studies/{study}/instances")
        return Counter(entry["00080060"]["Value"][0] for entry in found)

    def retrieve(self, study: str) -> list[Dataset]:
        """Every instance of a study, by WADO-RS."""
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        response = self._rest.get(f"/dicom-web/studies/{study}", headers={"Accept": accept}).raise_for_status()
        boundary = response.headers["content-type"].split("boundary=")[1].split(";")[0].strip('"')
        parts = response.content.split(f"--{boundary}".encode())[1:-1]
        return [dcmread(BytesIO(part.split(b"\r\n\r\n", 1)[1])) for part in parts]

    def store_to_node(self, study: str) -> None:
        """Send every instance of a study to the node, and wait for the end of it."""
        resources = [self._rest.post("/tools/lookup", content=study).raise_for_status().json()[0]["ID"]]
        body = {"Resources": resources, "Synchronous": True, "Permissive": False}
        job = self._rest.post("/modalities/node/store", json=body).raise_for_status().json()
        assert job["FailedInstancesCount"] == 0

    def resubmit(self) -> str:
        """Resubmit failed jobs, by the script that administrators run."""
        script = ROOT / "deploy" / "orthanc" / "resubmit.py"
        done = run([sys.executable, script, f"http://127.0.0.1:{HTTP_PORT}"])
        assert done.returncode == 0, done.stderr
        return done.stdout

    def jobs(self) -> Counter[str]:
        """How many jobs are in each state."""
        return Counter(job["State"] for job in self._get("/jobs?expand"))

    def _get(self, path: str) -> Any:
        return self._rest.get(path).raise_for_status().json()

    def _answers(self) -> bool:
        try:
            return self._rest.get("/system").status_code == 200
        except httpx.TransportError:
            return False


def dcmsend(files: Sequence[Path]) -> None:
    """Send files to the PACS as a modality does, over one association."""
    done = run(["dcmsend", "-aec", "PACS", "-aet", "MODALITY", "127.0.0.1", str(DICOM_PORT), *files])
    assert done.returncode == 0, done.stderr + done.stdout
