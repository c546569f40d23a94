"""A run becomes a bundle: graph, proof, figures of the graph itself, card, manifest."""

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
from training.exporting.drift import measure_reference
from training.exporting.finish import Finished, finish
from training.exporting.points import DEFAULT
from training.fitting.run import Run, best_epoch
from training.networks import heatmap
from training.reporting.card import write_card
from training.reporting.record import TrainingFacts
from training.reporting.report import NO_OTHERS, Others, measure_report


def export_run(  # noqa: PLR0913  the last two are for those who have more to measure on, or time to watch
    run: Run,
    data: Dataset,
    folder: Path,
    about: str,
    others: Others = NO_OTHERS,
    *,
    cpu_graph: CpuGraph = GRAPH,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> tuple[Manifest, Assessment]:
    """Write the bundle of a run's best epoch. Returns its manifest and what was measured of the graph.

    Args:
        run: a run with at least one finished epoch.
        data: the images that the run's split names.
        folder: models/NAME/VERSION; name and version are read off it.
        about: for the card, Markdown: for whom the model is meant, and what it was trained on.
        others: what else the card tells of.
        cpu_graph: what a CPU serves by default; measure before choosing (benchmarks/).
        progress: called with the shifts of the stress suite done, and all.

    Raises:
        ExportError: the network is not one that is served, the graph is not the network, or the int8 graph is asked
            for as the default and changes too much.
    """
    if run.config.normalisation != "rescale":
        raise ExportError(
            f"{run.folder}: normalisation {run.config.normalisation} is for experiments; only rescale is served"
        )
    made = finish(run, data)
    if cpu_graph == INT8_GRAPH and made.int8_graph is None:
        raise ExportError(f"{run.folder}: the int8 graph cannot be the default: {_why_no_int8(made)}")
    assessment = assess(graph_predict(made.graph), data, run.split, made.points[DEFAULT])
    graphs: dict[str, bytes] = {GRAPH: made.graph}
    if made.int8_graph:
        graphs[INT8_GRAPH] = made.int8_graph
    served = {"cpu_graph": cpu_graph, "drift_reference": measure_reference(graphs[cpu_graph], data, run.split)}
    draft = _draft(run, made, assessment, folder, graphs).model_copy(update=served)
    report = measure_report(
        draft, made.graph, data, run.split, others, about=about, training=_training(run), progress=progress
    )
    contents = {**graphs, CARD: write_card(report).encode()}
    manifest = draft.model_copy(update={"files": _digests(contents)})
    write_bundle(folder, manifest, contents)
    return manifest, assessment


def check_target(folder: Path) -> None:
    """See that a bundle can be written there, before the work of making it.

    Raises:
        ExportError: the folder's name is not one of a bundle.
        BundleError: it holds one already.
    """
    if not (re.fullmatch(NAME_PATTERN, folder.parent.name) and re.fullmatch(VERSION_PATTERN, folder.name)):
        raise ExportError(f"{folder}: must be named NAME/VERSION, NAME in lower case, VERSION a number")
    refuse_occupied(folder)


def _draft(run: Run, made: Finished, assessment: Assessment, folder: Path, graphs: dict[str, bytes]) -> Manifest:
    """The manifest but for the card's digest: the card is written from the report, and the report from this."""
    results = assessment.model_dump(exclude={"operating_point"})
    return Manifest(
        name=folder.parent.name,
        version=folder.name,
        image_contract=IMAGE_CONTRACT,
        files=_digests({**graphs, CARD: b""}),
        default_operating_point=DEFAULT,
        operating_points=made.points,
        calibration=made.calibration,
        populations=made.populations,
        input_guard=made.guard,
        heatmap_method=heatmap.method(made.readout.model),
        results={**results, "keras_onnx_difference": made.difference, "int8": made.int8 and made.int8.model_dump()},
        provenance=_provenance(run, made.readout.model.count_params()),
        created_at=datetime.now(UTC).replace(microsecond=0),
    )


def _digests(contents: dict[str, bytes]) -> dict[str, str]:
    return {name: sha256(content) for name, content in contents.items()}


def _why_no_int8(made: Finished) -> str:
    if made.int8 is None:
        return "this network is not quantised"
    return (
        f"on held-out images the AUC goes from {made.int8.auc_float32:.4f} to {made.int8.auc_int8:.4f}, and "
        f"{made.int8.decisions_changed:.1%} of decisions change"
    )


def _training(run: Run) -> TrainingFacts:
    averaged = run.averaged_epochs
    kept = f"epoch {best_epoch(run.history).epoch}, the one of lowest validation loss"
    if averaged and averaged == list(range(len(run.history) + 1 - len(averaged), len(run.history) + 1)):
        kept = f"the mean of the weights of the last {len(averaged)} epochs"
    elif averaged:
        kept = f"the mean of the weights of the epochs {', '.join(map(str, averaged))}"
    return TrainingFacts(epochs=len(run.history), kept=kept)


def _provenance(run: Run, parameters: int) -> Provenance:
    return Provenance(
        git_revision=run.environment.git_revision,
        packages=run.environment.packages,
        data_fingerprint=run.data.fingerprint,
        seed=run.config.seed,
        parameters=parameters,
        configuration=run.config.model_dump(),
    )
