"""Answers as they are written: CSV, JSON lines, JSON, table; whole files, and those that a stopped run leaves."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.client.result_file import ResultFile, format_of
from service.client.result_sink import ResultSink
from service.client.results import COLUMNS, Format, gathered, inert, new_writer
from service.client.targets import Target
from service.settings import SettingsError
from service.wire import Caution, ModelName, Prediction, PredictResponse, Problem

PROBLEM = Problem(type="/problems/truncated-image", title="Cut", status=422, detail="it ends", request_id="r9")


def read(name: str, version: str = "2", provider: str = "CPU", point: str = "balanced") -> PredictResponse:
    entry = Prediction(
        filename=name,
        label="NORMAL",
        probability=0.1 + 0.2,
        threshold=0.5,
        warnings=[Caution(code="a", detail="x"), Caution(code="b", detail="y")],
    )
    model = ModelName(name="m", version=version)
    return PredictResponse(model=model, request_id="r1", provider=provider, operating_point=point, predictions=[entry])


def unread(name: str) -> PredictResponse:
    return read(name).model_copy(update={"predictions": [Prediction(filename=name, error=PROBLEM)]})


def written(kind: Format, *answers: PredictResponse) -> str:
    stream = io.StringIO(newline="")
    writer = new_writer(kind, stream)
    for answer in answers:
        writer.add(answer)
    writer.finish()
    return stream.getvalue()


def test_csv_has_every_digit_and_names_who_answered() -> None:
    rows = list(csv.DictReader(io.StringIO(written("csv", read("a,\n\"b'.png"), unread("c.png")))))
    assert tuple(rows[0]) == COLUMNS
    assert rows[0] == dict.fromkeys(COLUMNS, "") | {
        "file": "a,\n\"b'.png",
        "label": "NORMAL",
        "probability": "0.30000000000000004",
        "threshold": "0.5",
        "operating_point": "balanced",
        "warnings": "a; b",
        "model": "m",
        "version": "2",
        "request_id": "r1",
    }
    assert rows[1] == dict.fromkeys(COLUMNS, "") | {
        "file": "c.png",
        "request_id": "r9",
        "problem": "truncated-image",
        "detail": "it ends",
    }


@pytest.mark.parametrize("name", ["=cmd|x", "+1", "-1", "@SUM", "\t=1", "  =1", "\n-1", "\uff1d1", "\r@"])
def test_no_cell_is_a_formula(name: str) -> None:
    (row,) = csv.DictReader(io.StringIO(written("csv", read(name)), newline=""))
    assert row["file"] == f"'{name}"


@given(st.text(max_size=20))
def test_what_is_no_formula_stays(text: str) -> None:
    made = inert(text)
    assert made in {text, f"'{text}"}
    assert made.lstrip()[:1] not in set("=+-@\uff1d\uff0b\uff0d\uff20")
    if not text.startswith(tuple("\t\r\n")) and text.strip()[:1].isalnum():
        assert made == text


def test_lines_are_answers_of_the_server() -> None:
    lines = written("jsonl", read("a.png"), unread("b.png")).splitlines()
    assert [PredictResponse.model_validate_json(line) for line in lines] == [read("a.png"), unread("b.png")]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_lines_are_there_as_soon_as_they_are_known(kind: Format, tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as stream:
        new_writer(kind, stream).add(read("a.png"))
        assert "a.png" in (tmp_path / "x").read_text()


def test_json_is_one_answer_of_all_in_order() -> None:
    told = json.loads(written("json", unread("a"), read("b"), read("c", provider="CUDA"), unread("d"), read("e")))
    assert [entry["filename"] for entry in told["predictions"]] == list("abcde")
    assert told["provider"] == "CPU, CUDA"
    assert told["model"] == {"name": "m", "version": "2"}
    assert PredictResponse.model_validate(told)


@pytest.mark.parametrize("change", [{"version": "3"}, {"point": "rule-out"}])
def test_no_answer_stands_under_another_model_or_operating_point(change: dict[str, str]) -> None:
    answers = [read("a"), read("b", **change), unread("c"), read("d"), unread("e")]
    names = [[entry.filename for entry in answer.predictions] for answer in gathered(answers)]
    assert names == [["a", "d", "e"], ["b", "c"]]


def test_where_nothing_was_read_it_is_still_an_answer() -> None:
    (answer,) = gathered([unread("a"), unread("b")])
    assert [entry.error for entry in answer.predictions] == [PROBLEM, PROBLEM]


def test_a_name_cannot_steer_the_terminal() -> None:
    shown = written("table", read("a\x1b[2J\u202e[red]b.png"))
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "a\\x1b[2J\\u202e[red]b.png" in shown


# -- files


def write(path: Path, kind: Format, *answers: PredictResponse, complete: bool, resume: bool = False) -> str | None:
    sink = ResultSink(kind, ResultFile(path, kind, resume=resume))
    for answer in answers:
        if not sink.has(Target(str(answer.predictions[0].filename))):
            sink.add(answer)
    return sink.close(complete=complete)


def names_in(path: Path, kind: Format) -> list[str]:
    text = path.read_text()
    if kind == "csv":
        return [row["file"] for row in csv.DictReader(io.StringIO(text))]
    return [json.loads(line)["predictions"][0]["filename"] for line in text.splitlines()]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "table"])
def test_a_file_is_whole_or_as_it_was(kind: Format, tmp_path: Path) -> None:
    path = tmp_path / "results"
    path.write_text("before")
    left = write(path, kind, read("a"), complete=False)
    assert path.read_text() == "before"
    assert left == f"what was answered is in {path}.part"
    with pytest.raises(SettingsError, match=r"results.part is what a run has left"):
        write(path, kind, read("a"), complete=True)
    (tmp_path / "results.part").unlink()
    assert write(path, kind, read("a"), complete=True) is None
    assert "NORMAL" in path.read_text()
    assert [each.name for each in tmp_path.iterdir()] == ["results"]


def test_a_run_that_came_to_nothing_leaves_nothing(tmp_path: Path) -> None:
    assert write(tmp_path / "results", "csv", complete=False) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("complete", [False, True])
def test_who_resumes_asks_for_what_has_no_answer(kind: Format, complete: bool, tmp_path: Path) -> None:
    path = tmp_path / "results"
    write(path, kind, read("=a"), unread("b"), read("c,\nd"), complete=complete)
    sink = ResultSink(kind, ResultFile(path, kind, resume=True))
    assert [sink.has(Target(name)) for name in ("=a", "b", "c,\nd", "e")] == [True, False, True, False]
    for name in ("b", "e"):
        sink.add(read(name))
    sink.close(complete=True)
    names = ["'=a" if kind == "csv" else "=a", "c,\nd", "b", "e"]
    assert names_in(path, kind) == names
    assert [each.name for each in tmp_path.iterdir()] == ["results"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_wherever_a_run_was_cut_it_is_resumed(kind: Format, tmp_path: Path) -> None:
    path, part = tmp_path / "results", tmp_path / "results.part"
    write(path, kind, read("a"), read("b"), complete=True)
    whole = path.read_bytes()
    path.unlink()
    for end in range(len(whole)):
        part.write_bytes(whole[:end])
        if kind == "csv" and 0 < end < whole.index(b"\n"):  # its head was cut: it could be anything
            continue
        try:
            write(path, kind, read("a"), read("b"), complete=True, resume=True)
        except SettingsError:
            assert end < whole.index(b"\n")
            continue
        assert names_in(path, kind) == ["a", "b"], end
        path.unlink()


@pytest.mark.parametrize(("kind", "text"), [("csv", "name,age\nx,1\n"), ("jsonl", '{"a": 1}\n'), ("csv", "\xff")])
def test_another_file_is_not_taken_for_results(kind: Format, text: str, tmp_path: Path) -> None:
    path = tmp_path / "results"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(SettingsError, match="holds no results"):
        ResultFile(path, kind, resume=True)
    assert path.read_text(encoding="latin-1") == text
    assert [each.name for each in tmp_path.iterdir()] == ["results"]


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file or directory"):
        ResultFile(tmp_path / "nowhere" / "x.csv", "csv", resume=False)
    with pytest.raises(SettingsError, match="is no file"):
        ResultFile(tmp_path, "csv", resume=False)


def test_the_name_of_a_file_says_its_format() -> None:
    names = ["a.csv", "a.JSON", "b.jsonl", "c.txt"]
    assert [format_of(Path(name)) for name in names] == ["csv", "json", "jsonl", "table"]
    with pytest.raises(SettingsError, match="--format"):
        format_of(Path("a.xlsx"))
