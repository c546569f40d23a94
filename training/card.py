"""MODEL_CARD.md, in the headings of Model Facts (Sendak et al. 2020, doi 10.1038/s41746-020-0253-3)."""

from contract.bundle import Measured, Provenance
from contract.image import IMAGE_CONTRACT
from training.assess import Assessment
from training.evaluate import Results
from training.heatmap import METHOD
from training.metrics import RESAMPLES
from training.run import Run, best_epoch

_CARD = """\
# {title}: PNEUMONIA or NORMAL on frontal chest radiographs

**Not a medical device. Decision support and research only: a physician reads the radiograph and decides.**

## Summary

A convolutional network (`{architecture}`, {parameters:,} weights) that gives the probability of PNEUMONIA for one
frontal chest radiograph. Trained from scratch for {epochs} epochs on {train} images; the epoch kept, {kept}, is the one
of lowest validation loss. Its probabilities are not calibrated.

## Mechanism

- Input: grey, squashed to 200 x 200 (image contract {contract}). The division by 255 is inside the graph.
- Output: a probability, 0 to 1, and a coarse heatmap.
- Heatmap: {heatmap}.
- Decision: PNEUMONIA from {threshold:g} on, chosen on {chosen_on}.

## Validation and performance

{tables}
Intervals are 95 %: {resamples} resamples of patients, with all images of each. Where every image was called right, it
is the Wilson interval on the number of patients.

{about}
## Other information

- {split}
- Fingerprint of the images: `{fingerprint}`.
- Trained by code revision `{revision}`, seed {seed}. The full configuration, the packages' versions and the digests of
  all files are in `manifest.json`.
- The weights are under Apache-2.0; the terms of the data they were trained on apply besides.
"""

_SPLIT = {
    "patient": "Split by patient (one picture under two names counts as one patient):",
    "random": "Split at random over images, so that a patient may be on both sides (flatters; for comparison only):",
}
NO_ABOUT = """\
## Uses and directions

Not stated when the bundle was made: for whom the model is meant, on whom it was trained. Do not use it on patients
before that is known, and before it has been measured on images like theirs.
"""


def write_card(title: str, run: Run, assessment: Assessment, provenance: Provenance, about: str) -> str:
    """The model card of a run: every figure in it from the assessment, the words on people and data from ``about``."""
    split, history = run.split, run.history
    return _CARD.format(
        title=title,
        architecture=run.config.architecture,
        parameters=provenance.parameters,
        epochs=len(history),
        kept=best_epoch(history).epoch,
        train=len(split.train),
        contract=IMAGE_CONTRACT,
        heatmap=METHOD,
        threshold=assessment.operating_point.threshold,
        chosen_on=assessment.operating_point.chosen_on,
        tables="\n".join(_table(results) for results in (assessment.test, assessment.validation) if results),
        resamples=RESAMPLES,
        about=about,
        split=f"{_SPLIT[split.strategy]} {len(split.train)} images to train, {len(split.validation)} to choose, "
        f"{len(split.test)} to measure.",
        fingerprint=provenance.data_fingerprint,
        revision=provenance.git_revision,
        seed=provenance.seed,
    )


def interval(measured: Measured) -> str:
    """A figure with its interval, for people."""
    return f"{measured.value:.3f} ({measured.low:.3f} to {measured.high:.3f})"


def _table(results: Results) -> str:
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in results.confusion.items())
    return f"""\
On {results.images} images ({results.pneumonia_images} PNEUMONIA) of {results.patients} {results.measured_on}:

| figure | value (95 % interval) |
| --- | --- |
| AUC | {interval(results.auc)} |
| accuracy | {interval(results.accuracy)} |
| sensitivity | {interval(results.sensitivity)} |
| specificity | {interval(results.specificity)} |
| Brier score | {results.brier:.4f} |
| expected calibration error | {results.expected_calibration_error:.4f} |

Counts at the threshold: {counts}.
"""
