"""MODEL_CARD.md, in the headings of Model Facts (Sendak et al., npj Digital Medicine 2020, doi 10.1038/s41746-020-0253-3)."""

from contract.bundle import Measured, Provenance
from contract.image import IMAGE_CONTRACT
from training.assess import Assessment
from training.evaluate import Results
from training.heatmap import METHOD
from training.metrics import RESAMPLES
from training.run import Run, best_epoch

_CARD = """\
# {name} {version}: PNEUMONIA or NORMAL on frontal chest radiographs of small children

**Not a medical device. Decision support and research only; a radiologist or paediatrician decides.**

## Summary

A convolutional network ({architecture}, {parameters:,} weights) that gives the probability of PNEUMONIA for one
frontal chest radiograph. Trained from scratch, {epochs} epochs, on {train} images; the epoch kept is {kept}, the one of
lowest validation loss. {calibration}

## Mechanism

- Input: grey, squashed to 200 x 200 by the image contract ({contract}); the division by 255 is inside the graph.
- Output: a probability, 0 to 1, and a coarse heatmap ({heatmap}).
- Decision: PNEUMONIA from {threshold:g} on. Chosen on {chosen_on}.

## Validation and performance

{tables}
Intervals are 95 %, from {resamples} resamples of patients with all their images; where every image was called right
the Wilson interval on the number of patients.

**These figures are flattering.** The held-out patients come from the same hospital, the same machines and the same
files as the trained ones. On this data networks learn the picture's making as well as the disease (JPEG quality,
noise, borders, position), and published ones fell from an AUC of 0.95 to 0.54 at another hospital. Expect clearly
lower figures anywhere else, above all more false alarms, and measure on your own images first.

## Uses and directions

- For: trying out the service; research; a second look at frontal radiographs of children of one to five years, taken
  as in the training data.
- Not for: adults, newborns, schoolchildren; lateral views; CT; photographs of a screen; post-mortem images; other
  findings (a NORMAL answer does not exclude tuberculosis, effusion, pneumothorax, a fracture or a tumour); triage
  without a reader; any decision taken by the number alone.
- The heatmap shows where the network found evidence. It does not outline the disease.

## Warnings

- Trained on children of one to five years at a single centre, {share:.0%} of them with pneumonia: elsewhere the share
  is far lower, and with it the worth of a PNEUMONIA answer.
- There is no input guard in this bundle: it answers for a photograph of a cat with the same confidence.
- Labels are those of the data set: two readers, a third for the evaluation part only; no laboratory confirmation.

## Data

Kermany, Goldbaum et al., Cell 2018 (Mendeley Data, doi 10.17632/rscbjbr9sj), CC BY 4.0, public training part.
{split} Fingerprint of the images: `{fingerprint}`.

## Other information

Weights: Apache-2.0, with attribution of the data set as CC BY 4.0 asks. Code revision `{revision}`, seed {seed}. The full
configuration, the digests of the files and the versions of the packages are in `manifest.json`.
"""

_SPLIT = {
    "patient": "Split by patient (named in the file names; one picture under two names counts as one patient):",
    "random": "Split at random over images, so that a patient may be on both sides (for comparison with others only):",
}


def write_card(name: str, version: str, run: Run, assessment: Assessment, provenance: Provenance) -> str:
    """The model card of a run, every figure in it from the assessment."""
    split, history = run.split, run.history
    return _CARD.format(
        name=name,
        version=version,
        architecture=run.config.architecture,
        parameters=provenance.parameters,
        epochs=len(history),
        kept=best_epoch(history).epoch,
        train=len(split.train),
        calibration="Its probabilities are not calibrated.",
        contract=f"version {IMAGE_CONTRACT}",
        heatmap=METHOD,
        threshold=assessment.operating_point.threshold,
        chosen_on=assessment.operating_point.chosen_on,
        tables="\n".join(_table(results) for results in (assessment.test, assessment.validation) if results),
        resamples=RESAMPLES,
        share=assessment.validation.pneumonia_images / assessment.validation.images,
        split=f"{_SPLIT[split.strategy]} {len(split.train)} training, {len(split.validation)} validation, {len(split.test)} test images.",
        fingerprint=provenance.data_fingerprint,
        revision=provenance.git_revision,
        seed=provenance.seed,
    )


def _table(results: Results) -> str:
    rows = [
        ("AUC", results.auc),
        ("accuracy", results.accuracy),
        ("sensitivity", results.sensitivity),
        ("specificity", results.specificity),
    ]
    lines = [f"| {title} | {interval(measured)} |" for title, measured in rows]
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in results.confusion.items())
    return (
        f"On {results.images} images ({results.pneumonia_images} PNEUMONIA) of {results.patients} {results.measured_on}:\n\n"
        "| figure | value (95 % interval) |\n| --- | --- |\n"
        + "\n".join(lines)
        + f"\n| Brier score | {results.brier:.4f} |\n"
        f"| expected calibration error | {results.expected_calibration_error:.4f} |\n\nCounts at the threshold: {counts}.\n"
    )


def interval(measured: Measured) -> str:
    """A figure with its interval, for people."""
    return f"{measured.value:.3f} ({measured.low:.3f} to {measured.high:.3f})"
