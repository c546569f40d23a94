"""``validate --from-audit``: figures from the answers and the feedback in an audit log."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest

from contract.bundle import read_bundle
from service.__main__ import DONE, FAILED, WRONG_USE, main
from service.audit.chain import Chain
from service.audit.line import Event, Feedback, ImageRead, Started
from tests.bundles import THRESHOLD

# Probability and truth of each image; the third is a false alarm, the fourth was missed. The threshold is 0.4.
IMAGES = [(0.9, "PNEUMONIA"), (0.1, "NORMAL"), (0.6, "NORMAL"), (0.2, "PNEUMONIA"), (0.8, "PNEUMONIA"), (0.3, "NORMAL")]


class Log:
    """An audit log in the making: answers of the bundle in ``model``, and feedback."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        folder.mkdir()
        self._chain = Chain(folder, 2**20)
        manifest = read_bundle(model).manifest
        self._served: dict[str, Any] = {"model": manifest.name, "version": manifest.version, "graph": "model.onnx"}
        self._served |= {"graph_sha256": manifest.files["model.onnx"], "provider": "CPUExecutionProvider"}
        started = Started(instance="host", service="0.1.0", audit="on", **self._served)
        self._chain.append([started])

    def read(self, number: int, probability: float, **more: Any) -> None:
        """An analysis of image ``number``."""
        fields = {
            "time": f"2026-{number % 2 + 7:02}-01T12:00:00.000Z",
            "caller": "ward-3",
            "request_id": f"r{number}",
            "route": "/predict",
            "image_sha256": digest(number),
            "operating_point": "balanced",
            "threshold": THRESHOLD,
            "label": "PNEUMONIA" if probability >= THRESHOLD else "NORMAL",
            "probability": probability,
        }
        self.append(ImageRead(**self._served | fields | more))

    def truth(self, number: int, truth: str | None, time: str = "2026-11-01T00:00:00.000Z") -> None:
        """Feedback about image ``number``."""
        fields = {"caller": "registry", "user": None, "request_id": "f", "trace_id": None, "reader": None}
        fields |= {"analysed": f"r{number}", "image_sha256": digest(number), "truth": truth, "read_at": None}
        self.append(Feedback(time=time, image=0, **fields))

    def append(self, event: Event) -> None:
        self._chain.append([event])

    def validate(self, out: Path, *options: str) -> int:
        """Run the command."""
        self._chain.close()
        chosen = ["--from-audit", str(self.folder), "--out", str(out), "--model", str(self.model)]
        return main(["validate", *chosen, *options])


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


@pytest.fixture
def log(tmp_path: Path, bundle_folder: Path) -> Log:
    found = Log(tmp_path / "audit", bundle_folder)
    for number, (probability, truth) in enumerate(IMAGES):
        found.read(number, probability)
        found.truth(number, truth)
    return found


def report_in(folder: Path) -> dict[str, Any]:
    assert "<html" in (folder / "report.html").read_text()
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def counts(figures: dict[str, Any], point: str = "balanced") -> list[int]:
    names = ("true_positive", "false_negative", "true_negative", "false_positive")
    return [figures["points"][point][name] for name in names]


def test_the_report_has_the_figures_by_month(log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert log.validate(tmp_path / "out") == DONE
    report = report_in(tmp_path / "out" / "brightness-1")
    assert counts(report["overall"]) == [2, 1, 2, 1]
    assert report["overall"]["auc"]["value"] == pytest.approx(7 / 9)
    assert report["overall"]["points"]["balanced"]["sensitivity"]["value"] == pytest.approx(2 / 3)
    assert list(report["groups"]["month"]) == ["2026-07", "2026-08"]
    assert counts(report["groups"]["month"]["2026-07"]) == [2, 0, 0, 1]
    assert {claim["name"] for claim in report["claims"]} >= {"balanced: sensitivity", "balanced: specificity"}
    printed = capsys.readouterr().out
    assert "brightness-1: 6 images with a truth" in printed
    assert "balanced: sensitivity" in printed


def test_only_images_with_a_truth_count_and_the_rest_is_stated(log: Log, tmp_path: Path) -> None:
    for number in range(10, 40):
        log.read(number, 0.1)
    log.read(50, 0.9)
    log.append(ImageRead(**{**_failed(log), "request_id": "bad"}))
    assert log.validate(tmp_path / "out") == DONE
    report = report_in(tmp_path / "out" / "brightness-1")
    audit = report["data"]["audit"]
    assert (audit["answered_pneumonia"], audit["answered_normal"]) == (4, 33)
    assert [audit[name] for name in ("true_positive", "false_positive", "false_negative", "true_negative")] == [
        2,
        1,
        1,
        2,
    ]
    assert report["overall"]["images"] == 6
    # Begg & Greenes: of 4 answered PNEUMONIA 2/3 are, of 33 answered NORMAL 1/3 are.
    page = (tmp_path / "out" / "brightness-1" / "report.html").read_text()
    assert f"sensitivity is {8 / 3 / (8 / 3 + 11):.3f} and specificity {22 / (22 + 4 / 3):.3f}" in page


def _failed(log: Log) -> dict[str, Any]:
    fields = dict(log._served) | {"caller": None, "route": "/predict", "image_sha256": digest(0)}
    return fields | {"operating_point": "balanced", "threshold": THRESHOLD, "problem": "cancelled"}


def test_the_last_feedback_counts_and_can_be_withdrawn(log: Log, tmp_path: Path) -> None:
    log.truth(3, "NORMAL", "2026-11-02T00:00:00.000Z")  # the missed one was healthy
    log.truth(2, None, "2026-11-02T00:00:00.000Z")
    log.truth(0, "NORMAL", "2026-10-01T00:00:00.000Z")  # from another chain, and earlier
    assert log.validate(tmp_path / "out") == DONE
    assert counts(report_in(tmp_path / "out" / "brightness-1")["overall"]) == [2, 0, 3, 0]


def test_a_file_that_was_analysed_again_counts_once(log: Log, tmp_path: Path) -> None:
    log.read(0, 0.9, route="/explain", time="2026-09-01T12:00:00.000Z", request_id="again")
    assert log.validate(tmp_path / "out") == DONE
    report = report_in(tmp_path / "out" / "brightness-1")
    assert report["overall"]["images"] == 6
    assert list(report["groups"]["month"]) == ["2026-07", "2026-08"]


def test_each_version_and_population_has_its_report(log: Log, tmp_path: Path) -> None:
    for number, (probability, _) in enumerate(IMAGES[:4]):
        log.read(number, 1 - probability, version="2", graph_sha256="0" * 64, threshold=0.7, operating_point="own")
        log.read(number, probability, population="adult")
    assert log.validate(tmp_path / "out", "--group", "caller,route") == DONE
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "brightness-1",
        "brightness-2",
        "brightness-1-adult",
    }
    other = report_in(tmp_path / "out" / "brightness-2")
    assert (other["claims"], list(other["overall"]["points"])) == ([], ["own"])
    assert counts(other["overall"], "own") == [1, 1, 1, 1]
    assert list(other["groups"]) == ["caller", "route"]
    assert report_in(tmp_path / "out" / "brightness-1-adult")["model"]["population"] == "adult"


def test_earlier_analyses_can_be_left_out(log: Log, tmp_path: Path) -> None:
    assert log.validate(tmp_path / "out", "--since", "2026-08") == DONE
    assert report_in(tmp_path / "out" / "brightness-1")["overall"]["images"] == 3


def test_without_a_truth_there_is_no_report(
    tmp_path: Path, bundle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = Log(tmp_path / "audit", bundle_folder)
    empty.read(0, 0.9)
    assert empty.validate(tmp_path / "out") == FAILED
    assert "POST /feedback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--group", "patient"], "--group: patient"),
        (["--images", "."], "--images is not for --from-audit"),
        (["--gallery"], "--gallery is not for --from-audit"),
    ],
)
def test_wrong_use_is_explained(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert log.validate(tmp_path / "out", *options) == WRONG_USE
    assert words in capsys.readouterr().err


def test_an_altered_line_stops_the_command(log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [file] = log.folder.glob("1/audit-*.jsonl")
    file.write_text(file.read_text().replace('"truth":"PNEUMONIA"', '"truth":"NORMAL"', 1))
    assert log.validate(tmp_path / "out") == WRONG_USE
    assert "audit-00000001.jsonl:3: this line was altered" in capsys.readouterr().err


@pytest.mark.parametrize(
    "forged",
    [
        {"model": "../../evil"},
        {"model": "/srv/evil"},
        {"version": "1/../../evil"},
        {"population": "../evil"},
        {"probability": 7.0},
        {"probability": math.nan},
        {"threshold": -1.0},
        {"label": "HEALTHY"},
    ],
)
def test_a_line_that_no_service_writes_stops_the_command(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str], forged: dict[str, Any]
) -> None:
    log.read(0, **{"probability": 0.9, **forged})
    assert log.validate(tmp_path / "out") == WRONG_USE
    assert "audit-00000001.jsonl:14: no service has written this line" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_line_without_its_fields_stops_the_command(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.append(Event(event="read"))
    assert log.validate(tmp_path / "out") == WRONG_USE
    assert "audit-00000001.jsonl:14: no service has written this line" in capsys.readouterr().err


def test_no_audit_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, words in (
        (["--from-audit", str(tmp_path)], "there is no audit log here"),
        (["--from-audit"], "set XRAY_AUDIT_FOLDER"),
        ([], "give --images and --labels, or --from-audit"),
        (["--since", "2026-08"], "give --images"),
    ):
        assert main(["validate", "--out", str(tmp_path / "out"), *options]) == WRONG_USE
        assert words in capsys.readouterr().err
