"""A run becomes a bundle: graph, proof, figures of the graph itself, card, manifest."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from contract.bundle import (
    CARD,
    GRAPH,
    NAME_PATTERN,
    VERSION_PATTERN,
    Calibration,
    Manifest,
    Provenance,
    refuse_occupied,
    sha256,
    write_bundle,
)
from contract.image import IMAGE_CONTRACT
from training import heatmap
from training.assess import Assessment, assess, graph_predict
from training.card import write_card
from training.dataset import Dataset
from training.errors import ExportError
from training.export import PROVED_BATCHES, export_graph, prove
from training.record import TrainingFacts
from training.report import NO_OTHERS, Others, measure_report
from training.run import Run, best_epoch


def export_run(  # noqa: PLR0913  the last two are for those who have more to measure on, or time to watch
    run: Run,
    data: Dataset,
    folder: Path,
    about: str,
    others: Others = NO_OTHERS,
    *,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> tuple[Manifest, Assessment]:
    """Write the bundle of a run's best epoch. Returns its manifest and what was measured of the graph.

    Args:
        run: a run with at least one finished epoch.
        data: the images that the run's split names.
        folder: models/NAME/VERSION; name and version are read off it.
        about: for the card, Markdown: for whom the model is meant, and what it was trained on.
        others: what else the card tells of.
        progress: called with the shifts of the stress suite done, and all.

    Raises:
        ExportError: the network is not one that is served, or the graph is not the network.
    """
    if run.config.normalisation != "rescale":
        raise ExportError(
            f"{run.folder}: normalisation {run.config.normalisation} is for experiments; only rescale is served"
        )
    model = run.best_model()
    graph = export_graph(model)
    difference = prove(graph, model, data.rows(run.split.validation).pixels[: max(PROVED_BATCHES)])
    assessment = assess(graph_predict(graph), data, run.split)
    draft = Manifest(
        name=folder.parent.name,
        version=folder.name,
        image_contract=IMAGE_CONTRACT,
        files={GRAPH: sha256(graph), CARD: sha256(b"")},  # the card is written from the report, and that from this
        default_operating_point="balanced",
        operating_points={"balanced": assessment.operating_point},
        calibration=Calibration(),
        heatmap_method=heatmap.METHOD,
        results={**assessment.model_dump(exclude={"operating_point"}), "keras_onnx_difference": difference},
        provenance=_provenance(run, model.count_params()),
        created_at=datetime.now(UTC).replace(microsecond=0),
    )
    report = measure_report(
        draft, graph, data, run.split, others, about=about, training=_training(run), progress=progress
    )
    contents = {GRAPH: graph, CARD: write_card(report).encode()}
    manifest = draft.model_copy(update={"files": {name: sha256(content) for name, content in contents.items()}})
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


def _training(run: Run) -> TrainingFacts:
    kept = f"epoch {best_epoch(run.history).epoch}, the one of lowest validation loss"
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
