"""The report of a bundle: its figures, its page, its card."""

import base64
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contract.bundle import Bundle, Calibration, Measured, read_bundle
from tests.drawings import chest
from tests.trained import Trained
from tests.training.evaluation.test_out_of_distribution import GUARD, even, guarded_graph
from training.errors import TrainingError
from training.evaluation.calibration import uncalibrated
from training.evaluation.metrics import Scores
from training.evaluation.out_of_distribution import measure_group
from training.reporting.card import about_of, write_card
from training.reporting.gallery import gallery, overlay
from training.reporting.page import PATIENTS_SHOWN, write_page, write_report
from training.reporting.report import NO_EXTRA_DATA, ExtraData, measure_report, predictive_values, split_of
from training.reporting.schema import Report, TrainingFacts
from training.reporting.tables import calibration_table, elsewhere_sentence

shares = st.floats(0.01, 0.99)


@pytest.fixture(scope="module")
def bundle(trained: Trained) -> Bundle:
    return read_bundle(trained.bundle)


@pytest.fixture(scope="module")
def report(trained: Trained, bundle: Bundle) -> Report:
    extra = ExtraData(originals=trained.data, elsewhere=("adults", trained.data), not_chest=[even("greys", 0, 255)])
    split = split_of(bundle.manifest, trained.data)
    about = about_of(bundle.card)
    return measure_report(bundle.manifest, bundle.graph, trained.data, split, extra, about=about)


@pytest.fixture(scope="module")
def page(trained: Trained, bundle: Bundle, report: Report) -> str:
    examples = gallery(bundle.graph, trained.data.rows(trained.run.split.test), 0.5)
    return write_page(report, examples)


def test_the_split_of_a_bundle_is_the_one_it_was_trained_with(trained: Trained, bundle: Bundle) -> None:
    assert split_of(bundle.manifest, trained.data) == trained.run.split


def test_other_data_than_it_was_trained_on_is_refused(trained: Trained, bundle: Bundle) -> None:
    fewer = trained.data.rows(trained.run.split.train)
    with pytest.raises(TrainingError, match="does not contain the images"):
        split_of(bundle.manifest, fewer)
    provenance = bundle.manifest.provenance.model_copy(update={"configuration": {}})
    with pytest.raises(TrainingError, match="does not say how"):
        split_of(bundle.manifest.model_copy(update={"provenance": provenance}), trained.data)


def test_the_report_measures_what_the_manifest_says(bundle: Bundle, report: Report) -> None:
    assert report.held_out.model_dump() == bundle.manifest.results["test"]
    assert report.validation.model_dump() == bundle.manifest.results["validation"]
    assert report.points["balanced"].confusion == report.held_out.confusion
    assert report.calibrated.error.brier == report.held_out.brier
    assert sum(found.images for found in report.calibrated.bins) == report.held_out.images
    assert report.uncalibrated is not None
    assert report.uncalibrated.error == bundle.manifest.calibration.before
    assert report.calibrated.error == bundle.manifest.calibration.after
    assert report.stress.unshifted.auc == report.held_out.auc
    assert report.agreement is not None
    assert report.agreement.largest_difference == 0
    assert report.elsewhere is not None
    assert "folder adults" in report.elsewhere.measured_on
    assert [group.images for group in report.groups] == [report.held_out.images, 48, 2]


def test_the_calibration_table_says_whether_a_model_is_calibrated(report: Report) -> None:
    assert "| not calibrated |" in calibration_table(report.model_copy(update={"uncalibrated": None}))
    assert "| before calibration |" in calibration_table(report)


def test_the_record_can_be_read_back(report: Report) -> None:
    assert Report.model_validate_json(report.model_dump_json()) == report


@given(shares, shares, shares)
def test_predictive_values_are_bayes_rule(found: float, cleared: float, prevalence: float) -> None:
    sensitivity, specificity = (
        Measured(value=value, low=value * 0.9, high=min(1, value * 1.05)) for value in (found, cleared)
    )
    values = predictive_values(sensitivity, specificity, prevalence)
    images = 1e6
    sick, healthy = images * prevalence, images * (1 - prevalence)
    assert values.positive.value == pytest.approx(sick * found / (sick * found + healthy * (1 - cleared)))
    assert values.negative.value == pytest.approx(healthy * cleared / (healthy * cleared + sick * (1 - found)))
    for value in (values.positive, values.negative):
        assert value.low <= value.value <= value.high


@given(st.floats(0.2, 4), st.floats(-2, 2), st.floats(0.01, 0.95))
def test_calibration_is_undone(scale: float, shift: float, before: float) -> None:
    after = 1 / (1 + np.exp(-(scale * np.log(before / (1 - before)) + shift)))
    assume(1e-6 < after < 1 - 1e-6)  # nearer to the ends, a float32 probability has lost its logit
    scores = Scores(np.array([after]), np.array([1], np.uint8), np.array(["a"]))
    calibration = Calibration(method="platt", scale=scale, shift=shift, fitted_on="drawn")
    assert uncalibrated(scores, calibration).probability[0] == pytest.approx(before, abs=1e-4)


def test_a_calibrated_bundle_is_shown_before_and_after(trained: Trained, bundle: Bundle) -> None:
    calibration = Calibration(method="platt", scale=2, shift=0.5, fitted_on="drawn images")
    manifest = bundle.manifest.model_copy(update={"calibration": calibration})
    report = measure_report(manifest, bundle.graph, trained.data, trained.run.split, NO_EXTRA_DATA, about="")
    assert report.uncalibrated is not None
    assert report.uncalibrated.error != report.calibrated.error
    assert "before calibration" in write_card(report)
    assert "calibrated (sigmoid of 2 x logit + 0.5)" in write_card(report)


def test_the_page_is_self_contained(page: str) -> None:
    embedded = re.findall(r'src="data:[a-z+/]+;base64,([A-Za-z0-9+/=]+)"', page)
    assert len(embedded) >= 3
    assert page.count("src=") == len(embedded)
    assert "http" not in page
    assert "//" not in re.sub(r'"data:[^"]+"', "", page)
    assert not re.search(r"<(?:link|script|iframe|a)\b|@import|url\(", page)
    for data in embedded:
        content = base64.b64decode(data)
        if b"<svg" in content[:500]:
            # URLs in an SVG are namespace names; its references are to the figure's own elements only.
            assert set(re.findall(rb'(?:href|src)="([^#"][^"]*)"', content)) == set()


def test_the_page_has_every_part_and_says_whose_images_it_shows(page: str, report: Report) -> None:
    for title in ("Operating points", "Calibration", "Examples", "Under other conditions", "Shortcuts", "Another"):
        assert f"<h2>{title}" in page
    assert PATIENTS_SHOWN in page
    assert "Not a medical device" in page
    assert f"{report.held_out.auc.value:.3f}" in page
    assert "Drawn." in page or "not stated" in page


def test_without_a_gallery_no_image_of_a_patient_is_in_it(report: Report) -> None:
    page = write_page(report, None)
    assert "image/jpeg" not in page
    assert "<h2>Examples" not in page
    assert ".jpeg" not in page
    assert PATIENTS_SHOWN not in page


def test_html_and_links_of_the_about_text_are_shown_as_text(report: Report) -> None:
    about = "## Uses\n\n<script>alert(1)</script> [there](https://x.example) ![p](https://x.example/p.png)\n"
    page = write_page(report.model_copy(update={"about": about}), None)
    assert "<script" not in page
    assert "<a " not in page
    assert page.count("<img") == write_page(report, None).count("<img")


def test_the_guard_s_scores_are_drawn(report: Report) -> None:
    groups = tuple(
        measure_group(guarded_graph(), even(kind, *greys), 0.4, GUARD)
        for kind, greys in (("a", (90, 120)), ("b", (0,)))
    )
    guarded = report.model_copy(
        update={"groups": groups, "model": report.model.model_copy(update={"input_guard": GUARD})}
    )
    assert write_page(guarded, None).count("<img") == write_page(report, None).count("<img") + 2
    assert "farther than 3 from those of the training images" in write_card(guarded)


def test_the_gallery_sorts_by_truth_and_call(trained: Trained, bundle: Bundle) -> None:
    held_out = trained.data.rows(trained.run.split.test)
    for threshold, counts in ((0.0, (6, 0, 6)), (1.0, (0, 6, 0))):
        examples = gallery(bundle.graph, held_out, threshold)
        assert tuple(example_set.of for example_set in examples) == counts
        assert [len(example_set.examples) for example_set in examples] == [min(8, count) for count in counts]
    misses = [example.probability for example in examples[1].examples]
    assert misses == sorted(misses)
    assert all("PNEUMONIA/" in example.name for example in examples[1].examples)


def test_where_there_is_no_evidence_the_image_is_unchanged() -> None:
    image, heat = chest(1, 200, 200), np.zeros((8, 8), np.float32)
    assert np.array_equal(overlay(image, heat), np.repeat(image[..., None], 3, axis=2))
    heat[:, 5:] = 1
    laid = overlay(image, heat)
    assert np.array_equal(laid[:, :100, 0], image[:, :100])
    red, _, blue = laid[:, 180:].astype(int).transpose(2, 0, 1)
    assert (red - blue).mean() > 50  # yellow


def test_the_card_has_the_headings_of_model_facts_and_the_figures_of_the_report(bundle: Bundle, report: Report) -> None:
    headings = re.findall(r"^## (.+)$", bundle.card, re.M)
    assert headings[:3] == ["Summary", "Mechanism", "Validation and performance"]
    assert headings[-1] == "Other information"
    facts = TrainingFacts(epochs=6, kept="epoch 4, the one of lowest loss")
    card = write_card(report.model_copy(update={"training": facts}))
    assert "from scratch for 6 epochs; final weights: epoch 4" in card
    assert report.stress.worst_shift in card
    assert f"AUC | {report.held_out.auc.value:.3f}" in card
    assert "Another population" in card


def test_the_about_text_can_be_read_back_from_a_card(report: Report) -> None:
    about = "## Uses and directions\n\nFor tests.\n\n## Warnings\n\nMany.\n\n## Data\n\nDrawn.\n"
    card = write_card(report.model_copy(update={"about": about}))
    assert about_of(card).strip() == about.strip()
    assert re.findall(r"^## (.+)$", card, re.M)[3:5] == ["Uses and directions", "Warnings"]
    assert "not stated" in about_of("# a card of another origin\n")


def test_the_report_is_written_as_a_page_and_as_json(report: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "deep" / "out", report, None)
    written = tmp_path / "deep" / "out"
    assert Report.model_validate_json((written / "report.json").read_bytes()) == report
    assert (written / "report.html").read_text() == write_page(report, None)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match="cannot be written"):
        write_report(tmp_path / "file", report, None)


def test_a_split_that_cannot_be_reproduced_is_refused(trained: Trained, bundle: Bundle) -> None:
    results = {"validation": {"images": 7}}
    with pytest.raises(TrainingError, match="split the images differently"):
        split_of(bundle.manifest.model_copy(update={"results": results}), trained.data)


@pytest.mark.parametrize(
    ("area", "words"),
    [
        ((0.95, 0.92, 0.98), "separates the classes in this sample too"),
        ((0.7, 0.6, 0.8), "much less reliable"),
        ((0.5, 0.4, 0.6), "not distinguishable from chance"),
        ((0.3, 0.2, 0.4), "worse than chance"),
    ],
)
def test_results_elsewhere_say_what_they_mean(report: Report, area: tuple[float, float, float], words: str) -> None:
    value, low, high = area
    changed = report.held_out.model_copy(update={"auc": Measured(value=value, low=low, high=high)})
    assert words in elsewhere_sentence(changed)
