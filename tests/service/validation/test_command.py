"""The command ``validate``: from drawn images of known brightness to the report."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.__main__ import DONE, FAILED, WRONG_USE, main
from tests.bundles import GUARD, POINTS, POPULATIONS, brightness_graph, write_brightness_bundle
from tests.dicom_objects import drawn
from tests.drawings import chest, encode

# Grey levels below and above the threshold of 0.4, which is 102; the last of each class is on the wrong side.
DARK, BRIGHT = (20, 40, 60, 80, 140), (110, 130, 150, 170, 90)
NASTY = "<b>&amp;.png"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images and its labels: brighter images are PNEUMONIA, two of each grey level, one patient."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "images" / "sub").mkdir(parents=True)
    rows = ["file,label,patient,age,view"]
    for label, levels in (("NORMAL", DARK), ("PNEUMONIA", BRIGHT)):
        for number, level in enumerate(levels):
            for view in ("AP", "PA"):
                name = f"sub/{label}-{level}-{view}.png"
                pixels = np.full((200, 200 + (view == "AP")), level, np.uint8)  # no two files are the same
                (folder / "images" / name).write_bytes(encode(pixels, "PNG"))
                rows.append(f"{name},{label},{label}{number},{10 * number},{view}")
    (folder / "images" / NASTY).write_bytes(b"no image")
    (folder / "images" / "extra.png").write_bytes(encode(chest(), "PNG"))
    rows += [f"{NASTY},1,P8,,", "missing.png,0,P9,,"]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def command(site: Path, model: Path, out: Path, *options: str) -> list[str]:
    inputs = ["--images", str(site / "images"), "--labels", str(site / "labels.csv")]
    return ["validate", *inputs, "--out", str(out), "--model", str(model), *options]


def report_of(out: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def test_the_report(site: Path, choosy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(site, choosy_folder, tmp_path, "--group", "age,view")) == DONE
    printed = capsys.readouterr()
    assert "2 of 22 files could not be analysed" in printed.err
    assert re.search(r"balanced: sensitivity +0\.500 +0\.800 \(0\.\d+ to 0\.\d+\) +", printed.out)
    report = report_of(tmp_path)
    overall = report["overall"]
    assert [overall[name] for name in ("images", "patients", "positives", "negatives")] == [20, 10, 10, 10]
    point = overall["points"]["balanced"]
    counts = ("true_positive", "false_negative", "true_negative", "false_positive")
    assert [point[name] for name in counts] == [8, 2, 8, 2]
    assert point["sensitivity"]["value"] == point["specificity"]["value"] == 0.8
    assert overall["auc"]["value"] == pytest.approx(22 / 25)
    assert list(overall["points"]) == list(POINTS)
    assert overall["flagged"] is None
    assert {name: list(groups) for name, groups in report["groups"].items()} == {
        "age": ["0 to 5", "6 to 17", "18 to 39", "40 to 64"],
        "view": ["AP", "PA"],
    }
    assert report["groups"]["view"]["AP"]["images"] == 10
    assert [(each["file"], each["problem"]) for each in report["failures"]] == [
        (NASTY, "unsupported-media-type"),
        ("missing.png", "unreadable-file"),
    ]
    data = report["data"]
    assert (data["failed"], data["repeated"], data["not_labelled"], data["has_patients"]) == (2, 0, 1, True)
    assert report["model"]["provider"] == "CPUExecutionProvider"
    assert report["model"]["graph"] == "model.onnx"


def test_the_same_file_counts_once_and_not_at_all_with_both_labels(
    site: Path, choosy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = shutil.copytree(site / "images", tmp_path / "site" / "images")
    for name, of in (("again.png", "NORMAL-20-AP"), ("other.png", "NORMAL-40-AP"), ("ill.png", "NORMAL-60-AP")):
        shutil.copy(images / "sub" / f"{of}.png", images / name)
    rows = ["again.png,NORMAL,NORMAL0,,AP", "other.png,NORMAL,NORMAL2,,AP", "ill.png,PNEUMONIA,P1,,AP"]
    labels = (site / "labels.csv").read_text() + "\n".join(rows)
    (tmp_path / "site" / "labels.csv").write_text(labels)
    assert main(command(tmp_path / "site", choosy_folder, tmp_path)) == DONE
    printed = capsys.readouterr().err
    assert "2 of 25 files are the same as one with the other label: left out" in printed
    assert "2 of 25 files are the same as another one with that label: counted once" in printed
    report = report_of(tmp_path)
    assert (report["data"]["images"], report["data"]["repeated"]) == (25, 2)
    assert report["data"]["contradictory"] == ["sub/NORMAL-60-AP.png", "ill.png"]
    overall = report["overall"]
    # NORMAL1 and NORMAL2 share a file, so that they are one patient.
    assert [overall[name] for name in ("images", "patients", "positives", "negatives")] == [19, 9, 10, 9]
    page = (tmp_path / "report.html").read_text()
    assert "they are in no figure: sub/NORMAL-60-AP.png, ill.png." in page
    (tmp_path / "site" / "labels.csv").write_text("file,label\nill.png,1\nsub/NORMAL-60-AP.png,0\n")
    assert main(command(tmp_path / "site", choosy_folder, tmp_path)) == FAILED
    assert "ill.png: is the same file as one with the other label" in capsys.readouterr().err


def test_the_page_refers_to_nothing_and_shows_no_image(site: Path, choosy_folder: Path, tmp_path: Path) -> None:
    assert main(command(site, choosy_folder, tmp_path, "--group", "view")) == DONE
    page = (tmp_path / "report.html").read_text()
    assert "&lt;b&gt;&amp;amp;.png" in page
    assert NASTY not in page
    assert not re.search(r"https?:|src=|href=|<script|<img|url\(", page)
    assert page.count("<svg") == 2


def test_a_gallery_shows_what_is_most_wrong(site: Path, choosy_folder: Path, tmp_path: Path) -> None:
    assert main(command(site, choosy_folder, tmp_path, "--gallery")) == DONE
    page = (tmp_path / "report.html").read_text()
    assert page.count('<img alt="radiograph" src="data:image/jpeg;base64,') == 4
    assert page.index("PNEUMONIA-90-AP.png") < page.index("NORMAL-140-AP.png")
    assert "shows radiographs of patients" in page


def test_a_gallery_shows_dicom_objects_too(choosy_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    rows = ["file,label"]
    for label, levels in (("NORMAL", DARK), ("PNEUMONIA", BRIGHT)):
        for level in levels:
            pixels = np.full((200, 200), level << 4, np.uint16)
            pixels[0, :2] = 0, 4095  # so that the grey levels span the whole range
            (tmp_path / "images" / f"{label}-{level}.dcm").write_bytes(drawn(pixels))
            rows.append(f"{label}-{level}.dcm,{label}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    assert main(command(tmp_path, choosy_folder, tmp_path / "out", "--gallery")) == DONE
    assert (tmp_path / "out" / "report.html").read_text().count('<img alt="radiograph"') == 2


def test_equal_data_give_equal_reports(site: Path, choosy_folder: Path, tmp_path: Path) -> None:
    reports = []
    for name in ("a", "b"):
        assert main(command(site, choosy_folder, tmp_path / name)) == DONE
        report = report_of(tmp_path / name)
        del report["measured_at"]
        reports.append(report)
    assert reports[0] == reports[1]


def test_what_the_guard_would_refuse_counts_as_flagged(site: Path, guarded_folder: Path, tmp_path: Path) -> None:
    assert main(command(site, guarded_folder, tmp_path, "--guard", "refuse")) == DONE
    report = report_of(tmp_path)
    assert report["overall"]["images"] == 20
    assert report["overall"]["flagged"]["value"] == 1  # uniform grey images are unlike any radiograph
    assert report["claims"][-1]["name"] == "flagged by the input check"
    assert report["claims"][-1]["verdict"] == "does not hold"
    assert GUARD.false_alarms.value == report["claims"][-1]["claimed"]


def test_a_population_s_thresholds_and_calibration_apply(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_brightness_bundle(
        tmp_path / "model" / "1",
        brightness_graph(),
        operating_points=POINTS,
        populations=POPULATIONS,
        results={"test": {"auc": {"value": 0.9}}},
    )
    assert main(command(site, model, tmp_path, "--population", "adult", "--operating-point", "rule-in")) == DONE
    report = report_of(tmp_path)
    assert report["model"]["population"] == "adult"
    assert report["claims"][0]["name"] == "balanced: sensitivity"  # the manifest's AUC is of all populations together
    assert re.search(r"AUC +- +\d\.\d+ \(0\.\d+ to \d\.\d+\) +none\n", capsys.readouterr().out)
    assert report["model"]["default_operating_point"] == "rule-in"
    assert report["overall"]["points"]["balanced"]["threshold"] == 0.06
    assert report["calibration"]["trained_prevalence"] == POPULATIONS["adult"].prevalence
    assert max(each["probability"] for each in report["calibration"]["bins"]) < 0.7  # 170/255, calibrated


@pytest.fixture
def wards(tmp_path: Path) -> tuple[Path, Path]:
    """DICOM objects of four children and four adults, and one that states no age; and a model of both populations."""
    (tmp_path / "images").mkdir()
    rows = ["file,label"]
    for number in range(9):
        age = None if number == 8 else "003Y" if number % 2 else "040Y"
        pixels = np.full((200, 200), 600 + 400 * number, np.uint16)
        (tmp_path / "images" / f"{number}").write_bytes(drawn(pixels, PatientAge=age))
        rows.append(f"{number},{int(number > 4)}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    ages = {"child": {"from_age": 1, "below_age": 6}, "adult": {"from_age": 18}}
    populations = {name: POPULATIONS[name].model_copy(update=limits) for name, limits in ages.items()}
    model = write_brightness_bundle(
        tmp_path / "model" / "1", brightness_graph(), operating_points=POINTS, populations=populations
    )
    return tmp_path, model


def test_objects_of_several_ages_are_reported_on_by_population(
    wards: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(*wards, tmp_path / "out")) == DONE
    assert "child: 4 images, by the ages in them" in capsys.readouterr().out
    reports = {path.name: report_of(path) for path in (tmp_path / "out").iterdir()}
    assert {name: report["overall"]["images"] for name, report in reports.items()} == {
        "adult": 4,
        "child": 4,
        "unknown": 1,
    }
    for name in ("adult", "child"):
        point = reports[name]["overall"]["points"]["balanced"]
        assert point["threshold"] == POPULATIONS[name].operating_points["balanced"].threshold
        assert reports[name]["model"]["population"] == name
    assert len({report["data"]["fingerprint"] for report in reports.values()}) == 3


def test_objects_of_several_ages_are_one_population_if_it_is_named(wards: tuple[Path, Path], tmp_path: Path) -> None:
    assert main(command(*wards, tmp_path / "out", "--population", "adult")) == DONE
    assert report_of(tmp_path / "out")["overall"]["images"] == 9


def test_a_site_s_bundle_is_of_one_population(
    wards: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = ("--site", "Ours", "--by", "Dr. A", "--out-bundle", str(tmp_path / "site" / "1"))
    assert main(command(*wards, tmp_path / "out", *site)) == WRONG_USE
    assert "the images are of adult, child, unknown: choose one with --population" in capsys.readouterr().err
    assert (tmp_path / "out" / "adult" / "report.html").exists()
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    "case",
    [
        (["--group", "height"], "it has no column 'height'"),
        (["--images", "nowhere"], "--images: nowhere is not a folder"),
        (["--labels", "nowhere"], "--labels: nowhere"),
        (["--out", "/dev/null/x"], "--out: /dev/null/x cannot be written"),
        (["--population", "martian"], "XRAY_POPULATION: there is no 'martian'"),
    ],
)
def test_wrong_use_is_one_line(
    site: Path, choosy_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], case: tuple[list[str], str]
) -> None:
    options, words = case
    assert main([*command(site, choosy_folder, tmp_path), *options]) == WRONG_USE
    printed = capfd.readouterr()
    assert words in printed.err
    assert printed.err.count("\n") == 1
    assert not printed.out
    assert not (tmp_path / "report.json").exists()


def test_without_any_image_there_is_no_report(
    site: Path, choosy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.csv").write_text("file,label\nmissing.png,1\n")
    arguments = [*command(site, choosy_folder, tmp_path / "out"), "--labels", str(tmp_path / "labels.csv")]
    assert main(arguments) == FAILED
    assert not list((tmp_path / "out").iterdir())
    said = capsys.readouterr().err
    assert "there is no report" in said
    assert "missing.png: unreadable-file: No such file or directory" in said
