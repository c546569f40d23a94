"""Results as CSV, JSON lines, JSON and table; complete files, and partial files of interrupted runs."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.client.result_file import ResultFile, format_of
from service.client.result_sink import ResultSink
from service.client.results import COLUMNS, Format, escape_formula, merge, new_writer
from service.client.targets import Target
from service.settings import SettingsError
from service.wire import Caution, ModelName, Prediction, PredictResponse, Problem

PROBLEM = Problem(type="/problems/truncated-image", title="Cut", status=422, detail="it ends", request_id="r9")


def predicted(
    name: str, version: str = "2", provider: str = "CPU", point: str = "balanced", population: str | None = None
) -> PredictResponse:
    entry = Prediction(
        filename=name,
        label="NORMAL",
        probability=0.1 + 0.2,
        threshold=0.5,
        warnings=[Caution(code="a", detail="x"), Caution(code="b", detail="y")],
    )
    model = ModelName(name="m", version=version)
    return PredictResponse(
        model=model,
        request_id="r1",
        provider=provider,
        operating_point=point,
        population=population,
        predictions=[entry],
    )


def failed(name: str) -> PredictResponse:
    return predicted(name).model_copy(update={"predictions": [Prediction(filename=name, error=PROBLEM)]})


def format_answers(kind: Format, *answers: PredictResponse) -> str:
    stream = io.StringIO(newline="")
    writer = new_writer(kind, stream)
    for answer in answers:
        writer.add(answer)
    writer.finish()
    return stream.getvalue()


def test_csv_has_every_digit_and_the_model() -> None:
    rows = list(csv.DictReader(io.StringIO(format_answers("csv", predicted("a,\n\"b'.png"), failed("c.png")))))
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
    (row,) = csv.DictReader(io.StringIO(format_answers("csv", predicted(name)), newline=""))
    assert row["file"] == f"'{name}"


@given(st.text(max_size=20))
@example(" \n0")
def test_other_text_is_unchanged(text: str) -> None:
    escaped = escape_formula(text)
    assert escaped in {text, f"'{text}"}
    assert escaped.lstrip()[:1] not in set("=+-@\uff1d\uff0b\uff0d\uff20")
    leading = text[: len(text) - len(text.lstrip())]
    if not set(leading) & set("\t\r\n") and text.strip()[:1].isalnum():
        assert escaped == text


def test_json_lines_are_responses_of_the_server() -> None:
    lines = format_answers("jsonl", predicted("a.png"), failed("b.png")).splitlines()
    assert [PredictResponse.model_validate_json(line) for line in lines] == [predicted("a.png"), failed("b.png")]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_lines_are_written_at_once(kind: Format, tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as stream:
        new_writer(kind, stream).add(predicted("a.png"))
        assert "a.png" in (tmp_path / "x").read_text()


def test_json_is_one_response_in_order() -> None:
    merged = json.loads(
        format_answers(
            "json", failed("a"), predicted("b"), predicted("c", provider="CUDA"), failed("d"), predicted("e")
        )
    )
    assert [entry["filename"] for entry in merged["predictions"]] == list("abcde")
    assert merged["provider"] == "CPU, CUDA"
    assert merged["model"] == {"name": "m", "version": "2"}
    assert PredictResponse.model_validate(merged)


@pytest.mark.parametrize("change", [{"version": "3"}, {"point": "rule-out"}, {"population": "adult"}])
def test_answers_of_different_models_or_operating_points_are_not_merged(change: dict[str, str]) -> None:
    answers = [predicted("a"), predicted("b", **change), failed("c"), predicted("d"), failed("e")]
    names = [[entry.filename for entry in answer.predictions] for answer in merge(answers)]
    assert names == [["a", "d", "e"], ["b", "c"]]


def test_a_run_without_predictions_still_gives_a_response() -> None:
    (answer,) = merge([failed("a"), failed("b")])
    assert [entry.error for entry in answer.predictions] == [PROBLEM, PROBLEM]


def test_control_characters_in_a_name_are_escaped() -> None:
    table = format_answers("table", predicted("a\x1b[2J\u202e[red]b.png"))
    assert "\x1b" not in table
    assert "\u202e" not in table
    assert "a\\x1b[2J\\u202e[red]b.png" in table


# -- files


def write(path: Path, kind: Format, *answers: PredictResponse, complete: bool, **options: bool) -> str | None:
    sink = ResultSink(kind, ResultFile(path, kind, **options))
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
def test_a_result_file_is_complete_or_unchanged(kind: Format, tmp_path: Path) -> None:
    path = tmp_path / "results"
    path.write_text("before")
    message = write(path, kind, predicted("a"), complete=False, force=True)
    assert path.read_text() == "before"
    assert message == f"the results so far are in {path}.part; continue with --resume"
    with pytest.raises(SettingsError, match=r"results.part holds results of an interrupted run"):
        write(path, kind, predicted("a"), complete=True)
    (tmp_path / "results.part").unlink()
    assert write(path, kind, predicted("a"), complete=True, force=True) is None
    assert "NORMAL" in path.read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["results"]


def test_an_interrupted_run_without_results_leaves_no_file(tmp_path: Path) -> None:
    assert write(tmp_path / "results", "csv", complete=False) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("complete", [False, True])
def test_resume_skips_files_that_have_a_result(kind: Format, complete: bool, tmp_path: Path) -> None:
    path = tmp_path / "results"
    write(path, kind, predicted("=a"), failed("b"), predicted("c,\nd"), complete=complete)
    sink = ResultSink(kind, ResultFile(path, kind, resume=True))
    assert [sink.has(Target(name)) for name in ("=a", "b", "c,\nd", "e")] == [True, False, True, False]
    for name in ("b", "e"):
        sink.add(predicted(name))
    sink.close(complete=True)
    names = ["'=a" if kind == "csv" else "=a", "c,\nd", "b", "e"]
    assert names_in(path, kind) == names
    assert [file.name for file in tmp_path.iterdir()] == ["results"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_cut_off_at_any_byte_can_be_resumed(kind: Format, tmp_path: Path) -> None:
    path, part = tmp_path / "results", tmp_path / "results.part"
    answers = predicted("ä\nü"), predicted("Müller", population="adult")
    write(path, kind, *answers, complete=True)
    whole = path.read_bytes()
    path.unlink()
    for end in range(len(whole)):
        part.write_bytes(whole[:end])
        if kind == "csv" and 0 < end < whole.index(b"\n"):  # its header was cut off: it could be any file
            continue
        try:
            write(path, kind, *answers, complete=True, resume=True)
        except SettingsError:
            assert end < whole.index(b"\n")
            continue
        assert path.read_bytes() == whole, end
        path.unlink()


def test_one_run_at_a_time_writes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write(path, "csv", predicted("a"), complete=False)
    sink = ResultSink("csv", ResultFile(path, "csv", resume=True))
    for options in ({"resume": True}, {"force": True}, {}):
        with pytest.raises(SettingsError, match=r"another run is writing .*results.csv"):
            ResultFile(path, "csv", **options)
    sink.add(predicted("b"))
    sink.close(complete=True)
    assert names_in(path, "csv") == ["a", "b"]
    assert write(path, "csv", predicted("c"), complete=True, resume=True) is None
    assert [file.name for file in tmp_path.iterdir()] == ["results.csv"]


def test_the_lock_of_a_killed_run_does_not_count(tmp_path: Path) -> None:
    path, lock = tmp_path / "results.csv", tmp_path / "results.csv.lock"
    lock.touch()
    write(path, "csv", predicted("a"), complete=True)
    assert [file.name for file in tmp_path.iterdir()] == ["results.csv"]


@pytest.mark.parametrize(("kind", "text"), [("csv", "name,age\nx,1\n"), ("jsonl", '{"a": 1}\n'), ("csv", "\xff")])
def test_resume_rejects_a_file_of_other_content(kind: Format, text: str, tmp_path: Path) -> None:
    path = tmp_path / "results"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(SettingsError, match="holds no results"):
        ResultFile(path, kind, resume=True)
    assert path.read_text(encoding="latin-1") == text
    assert [file.name for file in tmp_path.iterdir()] == ["results"]


def test_a_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write(path, "csv", predicted("a"), complete=True)
    with pytest.raises(SettingsError, match="exists: use --force"):
        ResultFile(path, "csv")
    assert names_in(path, "csv") == ["a"]
    sink = ResultSink("csv", ResultFile(path, "csv", force=True))
    sink.add(predicted("b"))
    assert names_in(path, "csv") == ["a"]  # until the run is complete
    sink.close(complete=True)
    assert names_in(path, "csv") == ["b"]


def test_force_replaces_an_interrupted_run(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write(path, "csv", predicted("a"), complete=False)
    sink = ResultSink("csv", ResultFile(path, "csv", force=True))
    sink.add(predicted("b"))
    sink.close(complete=True)
    assert names_in(path, "csv") == ["b"]


def test_the_summary_counts_every_result(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write(path, "csv", predicted("a"), complete=False)
    sink = ResultSink("csv", ResultFile(path, "csv", resume=True))
    assert sink.summary() == "0 files analysed: 1 kept from the earlier run"
    for answer in (predicted("b"), predicted("c"), failed("d")):
        sink.add(answer)
    assert sink.summary() == "3 files analysed: 2 NORMAL, 1 failed, 2 with warnings, 1 kept from the earlier run"
    sink.close(complete=True)


def test_an_unwritable_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file or directory"):
        ResultFile(tmp_path / "nowhere" / "x.csv", "csv")
    with pytest.raises(SettingsError, match="is not a regular file"):
        ResultFile(tmp_path, "csv")


def test_the_suffix_implies_the_format() -> None:
    names = ["a.csv", "a.JSON", "b.jsonl", "c.txt"]
    assert [format_of(Path(name)) for name in names] == ["csv", "json", "jsonl", "table"]
    with pytest.raises(SettingsError, match="--format"):
        format_of(Path("a.xlsx"))
