"""One part of a plan: read, scored, and written as one file. Engines run it in any process, any number of times."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pyarrow import parquet

from contract.bundle import BundleError
from service.bulk.errors import StorageError
from service.bulk.plan import Plan, PlannedItems, part_name, read_plan
from service.bulk.rows import Row, row_of, table_of
from service.bulk.rules import difference, rules_for
from service.bulk.scoring import Scorer
from service.bulk.store import Store, open_store
from service.inference.loading.bundles import read_main
from service.inference.loading.graphs import open_backend
from service.settings import Settings

# In the metadata of a part's file.
PLAN, ERRORS = b"xray.plan", b"xray.errors"
# These settings are taken from the plan, whatever a worker's own are.
_PLANNED = (
    "operating_point",
    "population",
    "guard",
    "max_body_bytes",
    "max_pixels",
    "max_decoded_bytes",
    "dicom_checks",
    "dicom_ages",
)


@dataclass(frozen=True, slots=True)
class PartCounts:
    """The counts of a finished part: its number, its rows, and its rows by kind of problem."""

    number: int
    rows: int
    errors: Mapping[str, int]


class PartWorker:
    """Processes parts of a plan, one at a time.

    Args:
        where: the folder of the run, or ``s3://bucket/prefix``.
        fields: the settings, as ``Settings.model_dump(mode="json")`` returns them. What rows depend on comes from the
            plan; the rest (model, device, threads) from here.

    Raises:
        BundleError: this bundle is not that of the plan, or runs another graph here.
        DeviceError, SettingsError: the model cannot run here as the settings require.
        StorageError: the plan cannot be read.
    """

    def __init__(self, where: str, fields: Mapping[str, Any]) -> None:
        self._store = open_store(where)
        plan = read_plan(self._store)
        if plan is None:
            raise StorageError(f"{where}: there is no plan")
        one_thread = {"workers": 1, "threads": 1, "parallel_runs": 1, "max_batch": plan.batch}
        fields = {**fields, **one_thread, **{name: getattr(plan, name) for name in _PLANNED}}
        fields["capacity"] = max(plan.batch, int(fields.get("capacity", 0)))
        settings = Settings(**fields)
        bundle = read_main(settings)
        backend = open_backend(settings, bundle)
        options = {"part_size": plan.part_size, "batch": plan.batch, "dicom": plan.dicom, "keep_ids": plan.keep_ids}
        if differs := difference(plan, rules_for(settings, bundle, backend.graph, **options)):
            raise BundleError(f"the plan was made for another model or machine: {differs}")
        require_dicom(plan)
        self.plan = plan
        self._digest = plan.digest
        self._items, self._scorer = PlannedItems(self._store, plan), Scorer(backend, bundle, settings, plan)

    def do(
        self, number: int, left_out: Collection[int] = (), at: Callable[[int], object] = lambda _: None
    ) -> PartCounts:
        """Process a part and write its file, which is the same in every process and at every repetition.

        Args:
            number: of the part, from 0.
            left_out: indices in the part, from 0, of images at which processes have exited: they get a problem.
            at: called with the index of each image before it is decoded; an exception from it ends the part.

        Raises:
            StorageError: the storage fails or refuses; nothing is written.
        """
        if number >= self.plan.parts:
            raise StorageError("another run has replaced the plan")
        rows: list[Row] = []
        errors = Counter[str]()
        for scored in self._scorer.score(self._items.of(number), left_out, at):
            row = row_of(scored.item, scored.sha256, scored.prediction, scored.about, self.plan)
            rows.append(row)
            if row.get("problem"):
                errors[row["problem"]] += 1
        kept = {PLAN.decode(): self._digest, ERRORS.decode(): json.dumps(errors, sort_keys=True)}
        buffer = BytesIO()
        parquet.write_table(table_of(rows, self.plan, kept), buffer, compression="zstd")
        self._store.put(part_name(number), buffer.getvalue())
        return PartCounts(number, len(rows), dict(errors))

    def close(self) -> None:
        """Close what is open."""
        self._scorer.close()
        self._items.close()


def require_dicom(plan: Plan) -> None:
    """Check that this machine can read DICOM files if the machine that made the plan could.

    Raises:
        BundleError: it lacks the extra ``dicom``.
    """
    from service.inference.dicom import is_installed

    if plan.dicom and not is_installed():
        raise BundleError("the plan was made where the extra dicom is installed; it is not installed here")


def counts_of(store: Store, plan: Plan, number: int) -> PartCounts:
    """The counts of a part that exists already.

    Raises:
        StorageError: its file is damaged, or of another plan.
    """
    name = part_name(number)
    try:
        with store.open(name) as file:
            metadata = parquet.ParquetFile(file).metadata
    except (FileNotFoundError, ValueError):
        raise StorageError(f"{name} is damaged: remove it, and resume") from None
    kept = metadata.metadata or {}
    if kept.get(PLAN) != plan.digest.encode() or metadata.num_rows != plan.size_of(number):
        raise StorageError(f"{name} is not of this plan: remove it, and resume")
    return PartCounts(number, metadata.num_rows, json.loads(kept[ERRORS]))
