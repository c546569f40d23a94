"""MODEL_CARD.md, with the headings of Model Facts (Sendak et al. 2020, doi 10.1038/s41746-020-0253-3).

All figures come from the report; the text on population, uses, warnings and data is the ``--about`` file.
"""

import re

from contract.bundle import InputGuard
from training.errors import TrainingError
from training.reporting.schema import Report
from training.reporting.sections import NOT_A_DEVICE, sections

_CARD = """\
# {title}: PNEUMONIA or NORMAL on frontal chest radiographs

{not_a_device}
## Summary

A convolutional network (`{architecture}`, {parameters:,} weights) that estimates the probability of PNEUMONIA for one
frontal chest radiograph. Trained on {train} images{epochs}. {calibration}

## Mechanism

- Input: grey, squashed to 200 x 200 (image contract {contract}). The division by 255 is part of the graph.
- Output: a probability, 0 to 1, and a coarse heatmap.
- Heatmap: {heatmap}.
- Decision: PNEUMONIA at {threshold:g} or above. Threshold chosen on {chosen_on}.
- Input guard: {guard}

## Validation and performance

{performance}
{about}
## Other information

- {split}
- Fingerprint of the images: `{fingerprint}`.
- Trained by code revision `{revision}`, seed {seed}. The full configuration, the packages' versions and the digests of
  all files are in `manifest.json`.
- The weights are licensed under Apache-2.0; the terms of the training data apply in addition.
"""
_SPLIT = {
    "patient": "Split by patient (one image under two names counts as one patient):",
    "random": "Split at random by image, so that a patient may be in several parts (too optimistic; for comparison "
    "only):",
}
NO_ABOUT = """\
## Uses and directions

The intended use and the training population were not stated when the bundle was made. Do not use the model on patients
before both are known and it has been measured on images like theirs.
"""
# The headings between which the ``--about`` text is in a card.
_ABOUT_BEGINS, _ABOUT_ENDS = "\n## Uses and directions\n", "\n## Other information\n"


def write_card(report: Report) -> str:
    """Write the model card from a report."""
    model, split = report.model, report.split
    provenance, point = model.provenance, model.operating_points[model.default_operating_point]
    return _CARD.format(
        title=f"{model.name} {model.version}",
        not_a_device=NOT_A_DEVICE,
        architecture=provenance.configuration.get("architecture", "not stated"),
        parameters=provenance.parameters,
        train=split.train,
        epochs=_epochs(report),
        calibration=_calibration(report),
        contract=model.image_contract,
        heatmap=model.heatmap_method,
        threshold=point.threshold,
        chosen_on=point.chosen_on,
        guard=guard_sentence(model.input_guard),
        performance="\n".join(f"### {section.title}\n\n{section.text}" for section in sections(report)),
        about=report.about,
        split=f"{_SPLIT[split.strategy]} {split.train} images to train, {split.validation} to choose, {split.test} to "
        "measure.",
        fingerprint=provenance.data_fingerprint,
        revision=provenance.git_revision,
        seed=provenance.seed,
    )


def with_about(card: str, about: str) -> str:
    """A card with another ``--about`` text, of which nothing is stated elsewhere."""
    return _replaced(
        card, r"(?s)(?<=\n)## Uses and directions\n.*?(?=\n## Other information\n)", about.rstrip("\n") + "\n"
    )


def with_guard(card: str, title: str, guard: InputGuard, flagged: dict[str, str], groups: str) -> str:
    """A card for the same network with another input guard: what it says of the guard is replaced, all else is kept.

    Args:
        card: written by ``write_card``.
        title: NAME VERSION of the new bundle.
        guard: the new one.
        flagged: the fraction that it flags, in words: of each population by name, and ``int8`` of that graph.
        groups: the table of other kinds of images.

    Raises:
        TrainingError: the card does not say of the guard what ``write_card`` writes.
    """
    card = _replaced(card, r"\A# .*?:", f"# {title}:")
    card = _replaced(card, r"(?m)^- Input guard: .*$", f"- Input guard: {guard_sentence(guard)}")
    card = _replaced(card, r"(?s)(?<=### Other kinds of images\n\n).*?(?=\n## )", groups)
    if "int8" in flagged:
        card = _replaced(card, r"(?<=The guard flags ).*(?= of them on int8)", flagged["int8"])
    for name in guard.populations:
        opening = next((line for line in card.splitlines() if line.startswith(f"**`{name}`**: ")), "")
        new = _replaced(opening, r"(?<=The input guard flags ).*(?= of them\.$)", flagged[name])
        card = card.replace(opening, new)
    return card


def _replaced(card: str, pattern: str, text: str) -> str:
    """Replace the one place where the pattern is.

    Raises:
        TrainingError: there is none, or more than one.
    """
    changed, count = re.subn(pattern, lambda _: text, card)
    if count != 1:
        raise TrainingError(f"the card was not written by this program: {pattern} is found {count} times in it")
    return changed


def about_of(card: str) -> str:
    """The ``--about`` text of a card: the part between the figures and the other information."""
    _, begin, rest = card.partition(_ABOUT_BEGINS)
    return (begin + rest).partition(_ABOUT_ENDS)[0].lstrip("\n") + "\n" if begin else NO_ABOUT


def _epochs(report: Report) -> str:
    if report.training is None:
        return ""
    return f" {report.training.began} for {report.training.epochs} epochs; final weights: {report.training.kept}"


def _calibration(report: Report) -> str:
    calibration = report.model.calibration
    if calibration.method == "none":
        return "Its probabilities are not calibrated."
    return f"Its probabilities are calibrated (sigmoid of {calibration.scale:.3g} x logit + {calibration.shift:.3g})."


def guard_sentence(guard: InputGuard | None) -> str:
    """What the input guard does, and how its threshold was chosen."""
    if guard is None:
        return "none. The model classifies any image, radiograph or not, without a warning."
    unit = " (in units of the nearest population's threshold)" if guard.populations else ""
    return (
        f"an image whose features are farther than {guard.threshold:.3g} from those of the training images{unit} gets "
        f"a warning. Threshold chosen on {guard.chosen_on}."
    )
