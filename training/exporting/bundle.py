"""Exports a run as a bundle: graphs, figures measured on the graph itself, model card, manifest."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from contract.bundle import (
    CARD,
    GRAPH,
    INT8_GRAPH,
    NAME_PATTERN,
    VERSION_PATTERN,
    CpuGraph,
    Manifest,
    Provenance,
    refuse_occupied,
    sha256,
    write_bundle,
)
from contract.image import IMAGE_CONTRACT
from training.data.dataset import Dataset
from training.errors import ExportError
from training.evaluation.assess import Assessment, assess, graph_predict
from training.exporting.artifacts import Artifacts, make_artifacts
from training.exporting.drift import measure_reference
from training.exporting.points import DEFAULT
from training.fitting.config import TrainingConfig
from training.fitting.run import Run, best_epoch
from training.networks import heatmap
from training.networks.architectures import PRETRAINED
from training.reporting.card import write_card
from training.reporting.report import NO_EXTRA_DATA, ExtraData, measure_report
from training.reporting.schema import TrainingFacts


def export_run(  # noqa: PLR0913  the last three are optional: additional data, the CPU's graph, a progress callback
    run: Run,
    data: Dataset,
    folder: Path,
    about: str,
    extra: ExtraData = NO_EXTRA_DATA,
    *,
    cpu_graph: CpuGraph = GRAPH,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> tuple[Manifest, Assessment]:
    """Write the bundle of a run's final network. Returns its manifest and the assessment of the graph.

    Args:
        run: a run with at least one finished epoch.
        data: the images that the run's split names.
        folder: models/NAME/VERSION; the bundle takes its name and version from this path.
        about: Markdown for the card: intended use and training data.
        extra: additional data that the card reports on.
        cpu_graph: the graph that a CPU runs by default; measure before choosing (benchmarks/).
        progress: called with the number of shifts of the stress suite done and the total.

    Raises:
        ExportError: this kind of network cannot be served, the graph's outputs differ from the network's, or the int8
            graph is to be the default and changes the results too much.
    """
    if run.config.normalisation != "rescale":
        raise ExportError(
            f"{run.folder}: normalisation {run.config.normalisation} is for experiments; only rescale can be served"
        )
    artifacts = make_artifacts(run, data)
    if cpu_graph == INT8_GRAPH and artifacts.int8_graph is None:
        raise ExportError(f"{run.folder}: the int8 graph cannot be the default: {_why_no_int8(artifacts)}")
    assessment = assess(graph_predict(artifacts.graph), data, run.split, artifacts.points[DEFAULT])
    graphs: dict[str, bytes] = {GRAPH: artifacts.graph}
    if artifacts.int8_graph:
        graphs[INT8_GRAPH] = artifacts.int8_graph
    served = {"cpu_graph": cpu_graph, "drift_reference": measure_reference(graphs[cpu_graph], data, run.split)}
    draft = _draft(run, artifacts, assessment, folder, graphs).model_copy(update=served)
    report = measure_report(
        draft, artifacts.graph, data, run.split, extra, about=about, training=_training(run), progress=progress
    )
    contents = {**graphs, CARD: write_card(report).encode()}
    manifest = draft.model_copy(update={"files": _digests(contents)})
    write_bundle(folder, manifest, contents)
    return manifest, assessment


def check_target(folder: Path) -> None:
    """Check that a bundle can be written to this folder, before spending the time to make it.

    Raises:
        ExportError: the path does not end in NAME/VERSION.
        BundleError: the folder already holds a bundle.
    """
    if not (re.fullmatch(NAME_PATTERN, folder.parent.name) and re.fullmatch(VERSION_PATTERN, folder.name)):
        raise ExportError(f"{folder}: must be named NAME/VERSION, NAME in lower case, VERSION a number")
    refuse_occupied(folder)


def _draft(run: Run, artifacts: Artifacts, assessment: Assessment, folder: Path, graphs: dict[str, bytes]) -> Manifest:
    """The manifest without the card's digest: the card is written from the report, which needs this manifest."""
    results = assessment.model_dump(exclude={"operating_point"})
    return Manifest(
        name=folder.parent.name,
        version=folder.name,
        image_contract=IMAGE_CONTRACT,
        files=_digests({**graphs, CARD: b""}),
        default_operating_point=DEFAULT,
        operating_points=artifacts.points,
        calibration=artifacts.calibration,
        populations=artifacts.populations,
        input_guard=artifacts.guard,
        heatmap_method=heatmap.method(artifacts.readout.model),
        results={
            **results,
            "keras_onnx_difference": artifacts.difference,
            "int8": artifacts.int8 and artifacts.int8.model_dump(),
        },
        provenance=_provenance(run, artifacts.readout.model.count_params()),
        created_at=datetime.now(UTC).replace(microsecond=0),
    )


def _digests(contents: dict[str, bytes]) -> dict[str, str]:
    return {name: sha256(content) for name, content in contents.items()}


def _why_no_int8(artifacts: Artifacts) -> str:
    if artifacts.int8 is None:
        return "this network is not quantised"
    return (
        f"on held-out images the AUC goes from {artifacts.int8.auc_float32:.4f} to {artifacts.int8.auc_int8:.4f}, and "
        f"{artifacts.int8.decisions_changed:.1%} of decisions change"
    )


def _training(run: Run) -> TrainingFacts:
    averaged = run.averaged_epochs
    kept = f"epoch {best_epoch(run.history).epoch}, the one of lowest validation loss"
    if averaged and averaged == list(range(len(run.history) + 1 - len(averaged), len(run.history) + 1)):
        kept = f"the mean of the weights of the last {len(averaged)} epochs"
    elif averaged:
        kept = f"the mean of the weights of the epochs {', '.join(map(str, averaged))}"
    if run.config.start_share:
        kept += f", by {1 - run.config.start_share:.0%}, and those that it began with, by {run.config.start_share:.0%}"
    return TrainingFacts(epochs=len(run.history), kept=kept, began=_began(run.config))


def _began(config: TrainingConfig) -> str:
    """What the weights were before the first step."""
    if config.start:
        return f"from the weights of `{config.start}`"
    return "from weights of ImageNet" if config.architecture in PRETRAINED else "from scratch"


def _provenance(run: Run, parameters: int) -> Provenance:
    return Provenance(
        git_revision=run.environment.git_revision,
        packages=run.environment.packages,
        data_fingerprint=run.data.fingerprint,
        seed=run.config.seed,
        parameters=parameters,
        configuration=run.config.model_dump(),
    )
