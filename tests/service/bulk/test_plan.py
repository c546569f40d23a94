"""Plans and their parts: whatever is there already, and however a list is cut, the table is the same."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.bulk.part import PartWorker, counts_of
from service.bulk.plan import FACTS, ITEMS, PlannedItems, part_name, plan_of, read_plan, write_plan
from service.bulk.rules import Rules
from service.bulk.sources.items import Item
from service.bulk.store import open_store
from service.settings import Settings
from tests.drawings import png
from tests.service.bulk.conftest import IMAGES, PART
from tests.service.bulk.runs import bulk, files, rows, success, table

PARTS = 6


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(present=st.sets(st.integers(0, PARTS - 1)), named=st.booleans())
def test_a_run_that_goes_on_leaves_what_one_without_interruption_leaves(
    *, whole: Path, archive: Path, bundle_folder: Path, tmp_path: Path, present: set[int], named: bool
) -> None:
    out = tmp_path / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for name in (ITEMS, FACTS, *map(part_name, present)):
        shutil.copy(whole / name, out / name)
    (out / ".bulk-partial-0123").write_bytes(b"cut sh")
    sources = [archive, "--part-size", PART] if named else []
    assert bulk(*sources, "--out", out, "--resume", "--model", bundle_folder) == 1
    assert files(out) == files(whole)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, IMAGES + 3))
def test_any_part_size_gives_the_same_rows_in_order(
    whole: Path, archive: Path, bundle_folder: Path, tmp_path: Path, size: int
) -> None:
    out = tmp_path / "out"
    shutil.rmtree(out, ignore_errors=True)
    assert bulk(archive, "--out", out, "--part-size", size, "--model", bundle_folder) == 1
    assert len(list(out.glob("part-*"))) == -(-IMAGES // size)
    found, expected = table(out), table(whole)
    assert found.drop(["probability"]).to_pylist() == expected.drop(["probability"]).to_pylist()
    probabilities, known = (np.array(each["probability"].to_pylist(), np.float64) for each in (found, expected))
    np.testing.assert_allclose(probabilities, known, atol=2e-7, rtol=0)
    assert success(out)["errors"] == success(whole)["errors"]


def test_a_part_that_is_done_twice_leaves_the_same_file(whole: Path, bundle_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    worker = PartWorker(str(tmp_path), Settings(model=bundle_folder, device="cpu").model_dump(mode="json"))
    counts = [worker.do(2), worker.do(2)]
    worker.close()
    assert counts[0] == counts[1] == counts_of(open_store(str(whole)), worker.plan, 2)
    assert files(tmp_path) == files(whole)


def test_the_run_says_what_it_did(whole: Path) -> None:
    said = success(whole)
    assert said["rows"] == IMAGES
    assert said["parts"] == PARTS
    assert said["errors"] == {"empty-file": 1, "truncated-image": 1, "unsupported-media-type": 1}
    assert json.loads((whole / FACTS).read_text())["items"] == IMAGES


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--part-size", "5"], "part_size (4 then, 5 now)"),
        (["--guard", "off"], "guard (warn then, off now)"),
        (["--keep-ids"], "keep_ids (False then, True now)"),
        (["--max-batch", "8"], "batch (4 then, 8 now)"),
        (["--max-pixels", "1000"], "max_pixels (50000000 then, 1000 now)"),
    ],
)
def test_another_plan_is_refused_and_what_differs_is_named(
    *,
    whole: Path,
    archive: Path,
    bundle_folder: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    what: str,
) -> None:
    before = files(whole)
    assert bulk(archive, "--out", whole, "--resume", "--model", bundle_folder, *options) == 2
    said = capsys.readouterr().err
    assert said == f"xray-service: --resume: the plan in {whole} differs: {what}\n"
    assert files(whole) == before


def test_another_list_or_model_is_another_plan(
    *,
    whole: Path,
    archive: Path,
    bundle_folder: Path,
    choosy_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = tmp_path / "more"
    shutil.copytree(archive, more)
    (more / "new.png").write_bytes(png())
    assert bulk(more, "--out", whole, "--resume", "--model", bundle_folder) == 2
    assert "the list of images (21 then, 22 now)" in capsys.readouterr().err
    assert bulk(archive, "--out", whole, "--resume", "--model", choosy_folder) == 2
    assert "manifest_sha256" in capsys.readouterr().err


def test_a_plan_is_not_written_over(
    whole: Path, archive: Path, bundle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(whole)
    assert bulk(archive, "--out", whole, "--model", bundle_folder) == 2
    assert "continue it with --resume" in capsys.readouterr().err
    assert files(whole) == before


def test_parts_without_a_plan_are_not_taken_for_this_run_s(
    archive: Path, bundle_folder: Path, here: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / part_name(0)).write_bytes(b"of another run")
    assert bulk(archive, "--out", tmp_path, "--model", bundle_folder) == 2
    assert f"holds {part_name(0)}, but no plan" in capsys.readouterr().err
    assert list(files(tmp_path)) == [part_name(0)]


@pytest.mark.parametrize("content", [b"PAR1 of another run", None])
def test_a_part_of_another_plan_is_found_before_anything_is_done(
    *,
    whole: Path,
    archive: Path,
    bundle_folder: Path,
    here: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
) -> None:
    out = tmp_path / "out"
    assert bulk(archive, "--out", out, "--part-size", 7, "--model", bundle_folder) == 1
    (out / part_name(1)).write_bytes((whole / part_name(1)).read_bytes() if content is None else content)
    capsys.readouterr()
    assert bulk("--out", out, "--resume", "--model", bundle_folder) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"xray-service: {part_name(1)} is ")
    assert said.count("\n") == 1


def test_a_model_that_has_changed_meanwhile_does_no_part(whole: Path, choosy_folder: Path) -> None:
    from contract.bundle import BundleError

    with pytest.raises(BundleError, match="another model or machine: manifest_sha256"):
        PartWorker(str(whole), Settings(model=choosy_folder, device="cpu").model_dump(mode="json"))


def test_an_item_is_found_by_its_part(tmp_path: Path, whole: Path) -> None:
    plan = read_plan(open_store(str(whole)))
    assert plan
    many = [Item(f"{number}.jpg", "member" if number % 2 else None, number, None, None) for number in range(40_000)]
    rules = Rules(**plan.model_dump(exclude={"items", "list_sha256"}) | {"part_size": 300})
    store = open_store(str(tmp_path))
    written = write_plan(store, rules, iter(many))
    assert written == read_plan(store) == plan_of(rules, many)
    planned = PlannedItems(store, written)
    for number in (0, 1, 54, 55, 133, 2):
        assert planned.of(number) == many[number * 300 : number * 300 + 300]
    planned.close()
    assert sum(written.size_of(number) for number in range(written.parts)) == 40_000


def test_the_numbers_are_those_of_predict(whole: Path, archive: Path, bundle_folder: Path) -> None:
    """The same images one by one, through the service's own path."""
    import asyncio

    from service.cli.commands import open_local
    from service.client.results import row

    async def predict() -> list[dict[str, str]]:
        async with open_local(Settings(model=bundle_folder, device="cpu")) as predictor:
            paths = sorted(archive.iterdir())
            return [row(await predictor.predict(path.read_bytes())) for path in paths]

    for found, expected in zip(rows(whole), asyncio.run(predict()), strict=True):
        for name in ("label", "operating_point", "population", "model", "version", "problem"):
            assert (found[name] or "") == expected[name]
        assert "; ".join(found["warnings"]) == expected["warnings"]
        for name in ("probability", "threshold", "guard_score"):
            assert found[name] == (pytest.approx(float(expected[name]), abs=2e-7) if expected[name] else None)
