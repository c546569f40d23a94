"""Answers as a table, JSON, JSON lines or CSV."""

import csv
import re
from collections.abc import Sequence
from typing import Literal, Protocol, TextIO

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from service.wire import Prediction, PredictResponse

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
)
# As service/page/csv.js has it.
_FORMULA = re.compile("^\\s*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


class Writer(Protocol):
    """Takes answers, each with one prediction."""

    def add(self, answer: PredictResponse) -> None:
        """Take one more."""

    def finish(self) -> None:
        """There are no more."""


def new_writer(kind: Format, stream: TextIO, *, goes_on: bool = False) -> Writer:
    """A writer of this format. Lines of CSV and JSON lines are on the stream as soon as they are there; the others
    come at the end. ``goes_on``: there are lines of an earlier run already.
    """
    if kind == "csv":
        return _CsvWriter(stream, head=not goes_on)
    if kind == "jsonl":
        return _LinesWriter(stream)
    return _TableWriter(stream) if kind == "table" else _JsonWriter(stream)


def row(answer: PredictResponse) -> dict[str, str]:
    """One answer as cells, by column. Numbers as the service gave them; who answered is not known of a problem."""
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
            "model": answer.model.name,
            "version": answer.model.version,
        }
    return {column: cells.get(column, "") for column in COLUMNS}


def inert(text: str) -> str:
    """What a spreadsheet would take for a formula (a file may be called ``=cmd``) is made text by an apostrophe."""
    return f"'{text}" if _FORMULA.match(text) else text


def write_row(stream: TextIO, cells: Sequence[str]) -> None:
    """One line of CSV (RFC 4180, but with line feeds alone)."""
    # A carriage return would end the line for most readers; Python 3.11 quotes only what ends its own.
    quoting: Literal[0, 1] = csv.QUOTE_ALL if "\r" in "".join(cells) else csv.QUOTE_MINIMAL
    csv.writer(stream, lineterminator="\n", quoting=quoting).writerow(cells)


def gathered(answers: list[PredictResponse]) -> list[PredictResponse]:
    """Answers of single images as one answer of many; more than one if the model or the operating point changed.

    An image without an answer stands where it is in the order; by whom it would have been read is not known.
    """
    groups: dict[tuple[str, str, str], list[PredictResponse]] = {}
    latest = next((_by(answer) for answer in answers if answer.predictions[0].error is None), None)
    for answer in answers:
        if answer.predictions[0].error is None:
            latest = _by(answer)
        groups.setdefault(latest or _by(answer), []).append(answer)
    return [_together(group) for group in groups.values()]


class _CsvWriter:
    def __init__(self, stream: TextIO, *, head: bool) -> None:
        self._stream = stream
        if head:
            write_row(stream, COLUMNS)

    def add(self, answer: PredictResponse) -> None:
        write_row(self._stream, [inert(cell) for cell in row(answer).values()])
        self._stream.flush()

    def finish(self) -> None:
        self._stream.flush()


class _LinesWriter:
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
        for answer in gathered(self._answers):
            self._stream.write(f"{answer.model_dump_json(indent=2)}\n")
        self._stream.flush()


class _TableWriter(_JsonWriter):
    def finish(self) -> None:
        for answer in gathered(self._answers):
            Console(file=self._stream).print(_table(answer))
        self._stream.flush()


def _table(answer: PredictResponse) -> Table:
    title = f"{answer.model.name} {answer.model.version}, {answer.provider}, {answer.operating_point}"
    columns = (Column("file", overflow="fold"), Column("label", min_width=9), "probability", "threshold")
    table = Table(*columns, title=_shown(title), caption="Not a medical device.")
    for prediction in answer.predictions:
        table.add_row(*map(_shown, (str(prediction.filename), *_cells(prediction))))
    return table


def _cells(prediction: Prediction) -> tuple[str, str, str]:
    if prediction.error:
        return prediction.error.title, "", ""
    label = " ".join([str(prediction.label), *(f"({warning.code})" for warning in prediction.warnings)])
    return label, f"{prediction.probability:.4f}", f"{prediction.threshold:g}"


def _shown(text: str) -> Text:
    """As it is, but for what would steer the terminal."""
    return Text("".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text))


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)


def _by(answer: PredictResponse) -> tuple[str, str, str]:
    return answer.model.name, answer.model.version, answer.operating_point


def _together(group: list[PredictResponse]) -> PredictResponse:
    answered = [answer for answer in group if answer.predictions[0].error is None] or group
    providers = dict.fromkeys(answer.provider for answer in answered)
    changes = {
        "provider": ", ".join(providers),
        "predictions": [entry for answer in group for entry in answer.predictions],
    }
    return answered[0].model_copy(update=changes)
