"""Answers as a table, JSON, JSON lines or CSV."""

import csv
import re
from collections.abc import Sequence
from typing import Literal, Protocol, TextIO

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from service.wire import Prediction, PredictResponse, printable

Format = Literal["table", "json", "jsonl", "csv"]
COLUMNS = (
    "file",
    "label",
    "probability",
    "threshold",
    "operating_point",
    "guard_score",
    "warnings",
    "model",
    "version",
    "request_id",
    "problem",
    "detail",
    "population",
)
# Model, version, operating point and population of an answer.
_Key = tuple[str, str, str, str | None]
# The same as in service/page/images/csv.js.
_FORMULA = re.compile("^\\s*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


class Writer(Protocol):
    """Writes answers, each with one prediction."""

    def add(self, answer: PredictResponse) -> None:
        """Add an answer."""

    def finish(self) -> None:
        """Write what is still buffered; call it after the last ``add``."""


def new_writer(kind: Format, stream: TextIO, *, append: bool = False) -> Writer:
    """A writer for this format. CSV and JSON lines are written at once; JSON and the table are written at the end.

    ``append``: the stream already holds results of an earlier run, so that CSV gets no second header.
    """
    if kind == "csv":
        return _CsvWriter(stream, header=not append)
    if kind == "jsonl":
        return _JsonLinesWriter(stream)
    return _TableWriter(stream) if kind == "table" else _JsonWriter(stream)


def row(answer: PredictResponse) -> dict[str, str]:
    """An answer as cells, by column. Numbers keep all their digits. A problem has no model and operating point."""
    entry = answer.predictions[0]
    cells = {
        "file": str(entry.filename),
        "guard_score": _number(entry.guard_score),
        "warnings": "; ".join(warning.code for warning in entry.warnings),
        "request_id": answer.request_id,
    }
    if entry.error:
        cells |= {
            "request_id": entry.error.request_id,
            "problem": entry.error.type.rpartition("/")[2],
            "detail": entry.error.detail,
        }
    else:
        cells |= {
            "label": str(entry.label),
            "probability": _number(entry.probability),
            "threshold": _number(entry.threshold),
            "operating_point": answer.operating_point,
            "population": answer.population or "",
            "model": answer.model.name,
            "version": answer.model.version,
        }
    return {column: cells.get(column, "") for column in COLUMNS}


def escape_formula(text: str) -> str:
    """Prefix an apostrophe to text that a spreadsheet would run as a formula (CSV injection): a file may be called
    ``=cmd``.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def write_row(stream: TextIO, cells: Sequence[str]) -> None:
    """Write one row of CSV (RFC 4180, but rows end with a line feed alone)."""
    # Most readers take a carriage return for the end of the row, but Python 3.11 quotes only its own line terminator.
    quoting: Literal[0, 1] = csv.QUOTE_ALL if "\r" in "".join(cells) else csv.QUOTE_MINIMAL
    csv.writer(stream, lineterminator="\n", quoting=quoting).writerow(cells)


def merge(answers: list[PredictResponse]) -> list[PredictResponse]:
    """Merge answers of single images into one; into several if model, operating point or population changed in between.

    An image that failed keeps its place in the order: it goes with the image before it, because the model that would
    have analysed it is not known.
    """
    groups: dict[_Key, list[PredictResponse]] = {}
    latest = next((_model_and_point(answer) for answer in answers if answer.predictions[0].error is None), None)
    for answer in answers:
        if answer.predictions[0].error is None:
            latest = _model_and_point(answer)
        groups.setdefault(latest or _model_and_point(answer), []).append(answer)
    return [_merge_group(group) for group in groups.values()]


class _CsvWriter:
    def __init__(self, stream: TextIO, *, header: bool) -> None:
        self._stream = stream
        if header:
            write_row(stream, COLUMNS)

    def add(self, answer: PredictResponse) -> None:
        write_row(self._stream, [escape_formula(cell) for cell in row(answer).values()])
        self._stream.flush()

    def finish(self) -> None:
        self._stream.flush()


class _JsonLinesWriter:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def add(self, answer: PredictResponse) -> None:
        self._stream.write(f"{answer.model_dump_json()}\n")
        self._stream.flush()

    def finish(self) -> None:
        self._stream.flush()


class _JsonWriter:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._answers: list[PredictResponse] = []

    def add(self, answer: PredictResponse) -> None:
        self._answers.append(answer)

    def finish(self) -> None:
        for answer in merge(self._answers):
            self._stream.write(f"{answer.model_dump_json(indent=2)}\n")
        self._stream.flush()


class _TableWriter(_JsonWriter):
    def finish(self) -> None:
        for answer in merge(self._answers):
            Console(file=self._stream).print(_table(answer))
        self._stream.flush()


def _table(answer: PredictResponse) -> Table:
    population = "" if answer.population is None else f", {answer.population}"
    title = f"{answer.model.name} {answer.model.version}, {answer.provider}, {answer.operating_point}{population}"
    columns = (Column("file", overflow="fold"), Column("label", min_width=9), "probability", "threshold")
    table = Table(*columns, title=_text(title), caption="Not a medical device.")
    for prediction in answer.predictions:
        table.add_row(*map(_text, (str(prediction.filename), *_cells(prediction))))
    return table


def _cells(prediction: Prediction) -> tuple[str, str, str]:
    if prediction.error:
        return prediction.error.title, "", ""
    label = " ".join([str(prediction.label), *(f"({warning.code})" for warning in prediction.warnings)])
    return label, f"{prediction.probability:.4f}", f"{prediction.threshold:g}"


def _text(text: str) -> Text:
    """For a cell: not interpreted as markup, and not by the terminal."""
    return Text(printable(text))


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)


def _model_and_point(answer: PredictResponse) -> _Key:
    return answer.model.name, answer.model.version, answer.operating_point, answer.population


def _merge_group(group: list[PredictResponse]) -> PredictResponse:
    answered = [answer for answer in group if answer.predictions[0].error is None] or group
    providers = dict.fromkeys(answer.provider for answer in answered)
    changes = {
        "provider": ", ".join(providers),
        "predictions": [entry for answer in group for entry in answer.predictions],
    }
    return answered[0].model_copy(update=changes)
