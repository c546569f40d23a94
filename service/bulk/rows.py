"""The rows of a part: the types of their columns, and the values for one image."""

import os
from collections.abc import Sequence
from typing import Any

import pyarrow

from service.bulk.plan import Plan
from service.bulk.sources.items import Item, path_of
from service.client.targets import Target
from service.wire import Prediction

_TEXT, _NUMBER = pyarrow.string(), pyarrow.float64()
_COLUMNS = [
    pyarrow.field("file", _TEXT, nullable=False),
    ("member", _TEXT),
    ("sha256", _TEXT),
    ("label", _TEXT),
    ("probability", _NUMBER),
    ("threshold", _NUMBER),
    ("operating_point", _TEXT),
    ("population", _TEXT),
    ("guard_score", _NUMBER),
    pyarrow.field("warnings", pyarrow.list_(pyarrow.field("item", _TEXT, nullable=False)), nullable=False),
    ("model", _TEXT),
    ("version", _TEXT),
    ("problem", _TEXT),
    ("detail", _TEXT),
    ("modality", _TEXT),
    ("view", _TEXT),
    ("sop_instance_uid", _TEXT),
]
IDS = ("patient_id", "accession_number", "study_instance_uid")

Row = dict[str, Any]


def schema_of(plan: Plan) -> pyarrow.Schema:
    """Names and types of the columns; those that identify the patient only if the plan includes them."""
    ids = [(name, _TEXT) for name in IDS] if plan.keep_ids else []
    return pyarrow.schema([*_COLUMNS, *ids])


def row_of(item: Item, sha256: str | None, prediction: Prediction, about: dict[str, str | None], plan: Plan) -> Row:
    """The row of one image. Numbers are not rounded; with a problem there is no model and no operating point.

    Args:
        item: of the plan.
        sha256: of its bytes, hexadecimal; None: they could not be read.
        prediction: of the image, or its problem.
        about: attributes of a DICOM object, by column.
        plan: of the run.
    """
    row: Row = {
        "file": name_of(item),
        "member": item.member,
        "sha256": sha256,
        "guard_score": prediction.guard_score,
        "warnings": [warning.code for warning in prediction.warnings],
        **about,
    }
    if prediction.error:
        return row | {"problem": prediction.error.type.rpartition("/")[2], "detail": prediction.error.detail}
    return row | {
        "label": prediction.label,
        "probability": prediction.probability,
        "threshold": prediction.threshold,
        "operating_point": plan.operating_point,
        "population": prediction.population,
        "model": plan.model,
        "version": plan.version,
    }


def name_of(item: Item) -> str:
    """The name of a file, as ``predict`` writes it."""
    path = path_of(item.uri)
    return item.uri if path == item.uri else Target(os.fsdecode(path)).name


def table_of(rows: Sequence[Row], plan: Plan, metadata: dict[str, str]) -> pyarrow.Table:
    """The rows as a table."""
    schema = schema_of(plan)
    columns = [pyarrow.array([row.get(field.name) for row in rows], field.type) for field in schema]
    return pyarrow.Table.from_arrays(columns, schema=schema.with_metadata(metadata))
