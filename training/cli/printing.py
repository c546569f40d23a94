"""The commands' output on stdout: JSON for programs, tables for people."""

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contract.drift import LEVELS, DriftReference
from contract.io.report import interval
from training.evaluation.evaluate import Results


def quantiles_table(measured: DriftReference) -> Table:
    """A drift reference as a table with one row per quantile."""
    columns = ("brightness", "contrast", "probability")
    table = Table("%", *columns)
    for row, level in enumerate(LEVELS):
        table.add_row(f"{100 * level:.0f}", *(f"{getattr(measured, name)[row]:.4f}" for name in columns))
    return table


def print_record(record: BaseModel, results: list[Results | None], as_json: bool) -> None:
    """Print a record as JSON, or the figures of its results as a table; results that are None are left out."""
    if as_json:
        print(record.model_dump_json(indent=2))
        return
    measured = [part for part in results if part]
    table = Table("", *(escape(part.measured_on) for part in measured))
    table.add_row("images", *(str(part.images) for part in measured))
    table.add_row("patients", *(str(part.patients) for part in measured))
    table.add_row("threshold", *(f"{part.threshold:g}" for part in measured))
    for figure in ("auc", "accuracy", "sensitivity", "specificity"):
        table.add_row(figure, *(interval(getattr(part, figure)) for part in measured))
    Console().print(table)
