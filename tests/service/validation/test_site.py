"""A site's own bundle: the same graph, its own thresholds and calibration, and everything says whose they are."""

import json
from pathlib import Path

import numpy as np
import pytest

from contract.bundle import GRAPH, MANIFEST, read_bundle, sha256
from contract.calibration import calibrate
from service.__main__ import DONE, FAILED, WRONG_USE, main
from service.validation.choosing import halves
from service.validation.labels import Labelled
from service.validation.scoring import Scored
from tests.bundles import POINTS, POPULATIONS, write_brightness_bundle
from tests.conftest import Connect, MakeService
from tests.drawings import encode

NAME = "St. Mary's [A]"
GREY = encode(np.full((200, 200), 120, np.uint8), "PNG")
PNG = {"Content-Type": "image/png"}


def make_site(folder: Path, images: int, *, contrast: float = 70.0) -> Path:
    """Images of patients with two images each; those with PNEUMONIA are brighter by the contrast, in grey levels."""
    (folder / "images").mkdir(parents=True)
    draw, rows = np.random.default_rng(11), ["file,label,patient"]
    for number in range(images):
        ill = number // 2 % 2
        level = int(np.clip(draw.normal(80 + contrast * ill, 20), 0, 255))
        pixels = np.full((64, 64), level, np.uint8)
        pixels[0, :2] = divmod(number, 256)  # no two files are the same
        (folder / "images" / f"{number}.png").write_bytes(encode(pixels, "PNG"))
        rows.append(f"{number}.png,{ill},P{number // 2}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def arguments(site: Path, model: Path, out: Path, *options: str) -> list[str]:
    inputs = ["--images", str(site / "images"), "--labels", str(site / "labels.csv"), "--out", str(out / "report")]
    bundle = ["--site", NAME, "--by", "Dr. *B*", "--out-bundle", str(out / "models" / "ours" / "1")]
    return ["validate", *inputs, *bundle, "--model", str(model), *options]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_site(tmp_path_factory.mktemp("site") / "data", 320)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parent") / "brightness" / "1"
    return write_brightness_bundle(folder, operating_points=POINTS, populations=POPULATIONS)


@pytest.fixture(scope="module")
def derived(site: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("derived")
    assert main(arguments(site, model, out, "--width", "0.25")) == DONE
    return out / "models" / "ours" / "1"


def test_the_graph_is_the_parent_s_and_the_manifest_says_where_it_is_from(derived: Path, model: Path) -> None:
    own, parent = read_bundle(derived), read_bundle(model)
    assert own.manifest.files[GRAPH] == parent.manifest.files[GRAPH]
    assert (own.manifest.name, own.manifest.version) == ("ours", "1")
    assert own.manifest.populations == parent.manifest.populations
    site = own.manifest.site
    assert site is not None
    assert (site.name, site.made_by, site.population) == (NAME, "Dr. *B*", None)
    assert (site.parent_name, site.parent_version) == ("brightness", "1")
    assert site.parent_manifest_sha256 == sha256((model / MANIFEST).read_bytes())
    assert site.chosen_on.images == site.measured_on.images == 160
    assert site.chosen_on.patients == site.measured_on.patients == 80
    assert site.measured_on.pneumonia_images == 80
    assert site.auc.low > 0.9
    assert site.calibration.before is not None
    assert site.calibration.after is not None
    assert site.calibration.after.brier < site.calibration.before.brier


def test_the_thresholds_follow_their_rules(derived: Path) -> None:
    points = read_bundle(derived).manifest.operating_points
    assert points["rule-out"].threshold <= points["balanced"].threshold <= points["rule-in"].threshold
    assert points["balanced"].sensitivity.value > 0.85
    assert points["balanced"].specificity.value > 0.85
    assert "measured on the other half" in points["rule-in"].chosen_on


def test_the_card_begins_with_the_site(derived: Path, model: Path) -> None:
    card = read_bundle(derived).card
    assert card.startswith(r"> **Operating points and calibration of St. Mary's \[A\]** chosen by Dr. \*B\* on ")
    assert card.endswith(read_bundle(model).card)


@pytest.mark.anyio
async def test_every_answer_names_the_site(
    derived: Path, make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    site = read_bundle(derived).manifest.site
    assert site is not None
    tensor = {"name": "image", "shape": [1, 200, 200, 1], "datatype": "UINT8", "data": [120] * 40_000}
    async with connect(make_service(model=derived)) as client:
        own = (await client.post("/predict", content=GREY, headers=PNG)).json()
        adult = (await client.post("/predict?population=adult", content=GREY, headers=PNG)).json()
        explained = await client.post("/explain", content=GREY, headers=PNG)
        inferred = (await client.post("/v2/models/ours/infer", json={"inputs": [tensor]})).json()
        manifest = (await client.get("/model")).json()
    expected = float(calibrate(120 / 255, site.calibration))
    assert own["predictions"][0]["probability"] == pytest.approx(expected, abs=1e-3)
    assert abs(expected - 120 / 255) > 0.05
    assert (own["site"], adult["site"]) == (NAME, None)
    assert explained.headers["X-Site"] == "St.%20Mary%27s%20%5BA%5D"
    assert explained.headers["X-Probability"] == str(own["predictions"][0]["probability"])
    assert inferred["parameters"]["site"] == NAME
    assert manifest["site"]["name"] == NAME


def test_on_other_patients_of_the_site_its_figures_hold(derived: Path, tmp_path: Path) -> None:
    other = make_site(tmp_path / "data", 400)
    inputs = ["--images", str(other / "images"), "--labels", str(other / "labels.csv"), "--out", str(tmp_path / "out")]
    assert main(["validate", *inputs, "--model", str(derived), "--margin", "0.1"]) == DONE
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {claim["verdict"] for claim in report["claims"]} == {"holds"}
    assert report["claims"][0]["name"] == "AUC"
    assert report["calibration"]["trained_prevalence"] == 0.5


def test_a_population_s_bundle_changes_that_population_only(site: Path, model: Path, tmp_path: Path) -> None:
    assert main(arguments(site, model, tmp_path, "--width", "0.25", "--population", "adult")) == DONE
    own, parent = read_bundle(tmp_path / "models" / "ours" / "1").manifest, read_bundle(model).manifest
    assert own.operating_points == parent.operating_points
    assert own.populations["child"] == parent.populations["child"]
    assert own.populations["adult"].operating_points != parent.populations["adult"].operating_points
    assert own.site is not None
    assert own.populations["adult"].calibration == own.site.calibration


def test_the_calibration_replaces_the_population_s(site: Path, model: Path, derived: Path, tmp_path: Path) -> None:
    """Behind the same graph, the fit to the same patients is the same, whatever calibration was there before."""
    assert main(arguments(site, model, tmp_path, "--width", "0.25", "--population", "adult")) == DONE
    calibrations = [bundle.manifest.site for bundle in map(read_bundle, (derived, tmp_path / "models" / "ours" / "1"))]
    first, second = ((site.calibration.scale, site.calibration.shift) for site in calibrations if site)
    assert first == pytest.approx(second, rel=1e-3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((60, 70.0), "intervals at most 0.1 wide (--width) take about "),
        ((120, 0.0), "the model is not shown to be better than chance here, AUC 0."),
        ((2, 70.0), "the model is not shown to be better than chance here, AUC no images"),
    ],
)
def test_what_cannot_be_chosen_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: tuple[int, float], words: str
) -> None:
    site = make_site(tmp_path / "data", data[0], contrast=data[1])
    assert main(arguments(site, model, tmp_path)) == FAILED
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "models").exists()
    assert (tmp_path / "report" / "report.html").exists()


def test_the_same_file_counts_once_and_its_patients_are_in_one_half(model: Path, tmp_path: Path) -> None:
    site = make_site(tmp_path / "data", 160)
    for number, other in ((0, 1), (2, 7), (3, 150)):  # of one patient, of another, and of yet another; one label each
        (site / "images" / f"{other}.png").write_bytes((site / "images" / f"{number}.png").read_bytes())
    assert main(arguments(site, model, tmp_path, "--width", "0.9")) == DONE
    derived = read_bundle(tmp_path / "models" / "ours" / "1").manifest.site
    assert derived is not None
    assert derived.chosen_on.images + derived.measured_on.images == 157
    assert derived.chosen_on.patients + derived.measured_on.patients == 78


def test_the_same_file_with_both_labels_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = make_site(tmp_path / "data", 60)
    (site / "images" / "0.png").write_bytes((site / "images" / "2.png").read_bytes())
    assert main(arguments(site, model, tmp_path, "--width", "0.9")) == FAILED
    printed = capsys.readouterr().err
    assert "not written: 2 files are the same, byte for byte, as one with the other label, such as 0.png" in printed


def test_a_site_s_bundle_has_no_bundle_derived_from_it(
    site: Path, derived: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(site, derived, tmp_path)) == FAILED
    assert "this is a site's own bundle; derive from brightness/1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--site", ""], "--site: must have 1 to 100 printable characters"),
        (["--site", "a\nb"], "--site: must have 1 to 100 printable characters"),
        (["--out-bundle", "ours"], "--out-bundle: ours must end in NAME/VERSION"),
    ],
)
def test_wrong_options_are_rejected_before_any_image_is_analysed(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert main([*arguments(site, tmp_path / "no model", tmp_path), *options]) == WRONG_USE
    assert words in capsys.readouterr().err


def test_the_options_go_together_and_the_folder_is_free(
    site: Path, derived: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments(site, tmp_path, tmp_path)
    by = command.index("--by")
    assert main([*command[:by], *command[by + 2 :]]) == WRONG_USE
    assert "--site, --out-bundle and --by must be given together" in capsys.readouterr().err
    assert main([*command, "--out-bundle", str(derived)]) == WRONG_USE
    assert "already holds a bundle" in capsys.readouterr().err


def a_scored(patients: list[tuple[str, bool]]) -> Scored:
    labelled = tuple(Labelled(str(number), ill, name, ()) for number, (name, ill) in enumerate(patients))
    none = np.zeros(len(patients))
    ill = np.array([ill for _, ill in patients])
    return Scored(none, ill, none.astype(np.intp), none.astype(np.bool_), labelled)


def test_the_halves_share_no_patient_and_have_as_many_of_each_class() -> None:
    patients = [(f"P{number // 3}", number // 3 % 4 == 0) for number in range(240)]
    scored = a_scored(patients)
    choosing = halves(scored)
    chosen, other = ({row.patient for row in scored.rows(at).labelled} for at in (choosing, ~choosing))
    assert not chosen & other
    assert len(chosen) == len(other) == 40
    assert scored.pneumonia[choosing].sum() == scored.pneumonia[~choosing].sum() == 30
    backwards = halves(a_scored(patients[::-1]))
    assert (backwards[::-1] == choosing).all()


def test_a_bundle_of_no_site_has_none(model: Path) -> None:
    assert read_bundle(model).manifest.site is None
