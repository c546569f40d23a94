"""Laws of the audit log: alterations are found, chains go on after torn writes, processes share no chain."""

import hashlib
import json
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.audit.chain import AuditError, Chain, chains_of, files_of
from service.audit.line import GENESIS, Event, Gap, ImageRead, Started, Stopped, read_line, seal
from service.audit.verify import Verdict, verify_chain
from tests.disks import enlarge, small_disk

_MODEL = {"model": "m", "version": "1", "graph": "model.onnx", "graph_sha256": "0" * 64, "provider": "CPU"}


def line(name: str) -> ImageRead:
    """An event of an image with this digest."""
    request = {
        "caller": "ward-3",
        "request_id": "x",
        "route": "/predict",
        "operating_point": "balanced",
        "threshold": 0.5,
    }
    return ImageRead(image_sha256=name, label="NORMAL", probability=0.25, **request, **_MODEL)


def write(folder: Path, *groups: int, max_bytes: int = 2**20) -> None:
    """Append groups of lines, with one write per group; ``groups``: number of lines of each."""
    with closing(Chain(folder, max_bytes)) as chain:
        for group, count in enumerate(groups):
            chain.append([line(f"{group}-{number}") for number in range(count)])


def verdict(folder: Path, *after: str) -> Verdict:
    return verify_chain(folder / "1", after)[0]


def images(folder: Path) -> list[str]:
    """The digests in the chain's lines, in order."""
    lines = [raw for path in files_of(folder / "1") for raw in path.read_bytes().splitlines(keepends=True)]
    events = [json.loads(raw) for raw in lines if read_line(raw)]
    return [event["image_sha256"] for event in events if event["event"] == "read"]


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder of its own for each example."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain of four files, one of them with a torn end that the next one records."""
    folder = tmp_path_factory.mktemp("written")
    write(folder, 3, 1, 2, max_bytes=1000)
    last = files_of(folder / "1")[-1]
    with last.open("ab") as file:
        file.write(seal(7, line("torn"), GENESIS)[0][:100])
    write(folder, 2, 2, max_bytes=1000)
    assert len(files_of(folder / "1")) == 4
    assert (verdict(folder).lines, verdict(folder).torn) == (11, 1)
    return folder


@given(at=st.integers(min_value=0), change=st.integers(1, 255), data=st.data())
def test_an_altered_byte_is_found(written: Path, at: int, change: int, data: st.DataObject) -> None:
    head = verdict(written).head
    with scratch() as folder:
        shutil.copytree(written / "1", folder / "1")
        path = data.draw(st.sampled_from(files_of(folder / "1")))
        content = bytearray(path.read_bytes())
        content[at % len(content)] ^= change
        path.write_bytes(content)
        found, present = verify_chain(folder / "1", expected={head})
    assert found.fault or not present  # without its final newline, the last line is incomplete


@given(data=st.data())
def test_removed_inserted_and_swapped_lines_are_found(written: Path, data: st.DataObject) -> None:
    with scratch() as folder:
        shutil.copytree(written / "1", folder / "1")
        path = data.draw(st.sampled_from(files_of(folder / "1")))
        lines = path.read_bytes().splitlines(keepends=True)
        one, other = data.draw(st.integers(0, len(lines) - 1)), data.draw(st.integers(0, len(lines) - 1))
        is_last = path == files_of(folder / "1")[-1] and one == len(lines) - 1
        change = data.draw(st.sampled_from(["removed", "duplicated", "forged", "swapped"]))
        before = list(lines)
        if change == "removed":
            del lines[one]
        elif change == "duplicated":
            lines.insert(other, lines[one])
        elif change == "forged":
            lines.insert(one, seal(one + 1, line("forged"), GENESIS)[0])
        else:
            lines[one], lines[other] = lines[other], lines[one]
        path.write_bytes(b"".join(lines))
        changed = lines != before
        found, present = verify_chain(folder / "1", expected={verdict(written).head})
    assert (found.fault is not None or not present) == changed
    if not (change == "removed" and is_last):
        assert (found.fault is not None) == changed  # also without an expected head


def test_an_expected_head_shows_what_the_chain_alone_cannot(written: Path, tmp_path: Path) -> None:
    """Lines removed from the end, or the whole chain rewritten: both leave a valid chain."""
    head = verdict(written).head
    shutil.copytree(written / "1", tmp_path / "cut" / "1")
    files_of(tmp_path / "cut" / "1")[-1].unlink()
    (tmp_path / "rewritten").mkdir()
    write(tmp_path / "rewritten", 11)
    for folder in (tmp_path / "cut", tmp_path / "rewritten"):
        found, present = verify_chain(folder / "1", expected={head})
        assert found.fault is None
        assert present == set()
    assert verify_chain(written / "1", expected={head})[1] == {head}


@given(cut=st.integers(min_value=0), groups=st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_the_chain_goes_on_after_a_write_torn_at_any_byte(cut: int, groups: list[int]) -> None:
    """Also if the first write after that is torn as well."""
    with scratch() as folder:
        write(folder, *groups, max_bytes=1500)
        for factor in (1, 7):
            last = files_of(folder / "1")[-1]
            content = last.read_bytes()
            last.write_bytes(content[: cut * factor % (len(content) + 1)])
            kept = images(folder)
            write(folder, 1, max_bytes=1500)
            assert images(folder) == [*kept, "0-0"]
            found = verdict(folder)
            assert found.fault is None
            assert found.unfinished_bytes == 0


def test_a_torn_end_is_recorded_and_left_unchanged(tmp_path: Path) -> None:
    write(tmp_path, 2)
    (first,) = files_of(tmp_path / "1")
    with first.open("ab") as file:
        file.write(b'{"sequence":3,"ev')
    before = first.read_bytes()
    assert verdict(tmp_path).unfinished_bytes == 17  # verify cannot distinguish it from a write in progress
    write(tmp_path, 1)
    assert first.read_bytes() == before
    assert verdict(tmp_path).torn == 1
    first.write_bytes(before[:-1] + b"w")
    assert verdict(tmp_path).fault is not None


def test_the_hash_is_computed_as_documented(tmp_path: Path) -> None:
    write(tmp_path, 2)
    one, other = files_of(tmp_path / "1")[0].read_text().splitlines()
    assert json.loads(one)["hash"] == hashlib.sha256(one.rpartition(',"hash"')[0].encode()).hexdigest()
    assert json.loads(other)["previous"] == json.loads(one)["hash"]
    assert json.loads(one)["previous"] == GENESIS


@given(text=st.text(max_size=40), number=st.floats())
def test_every_event_is_one_line_of_json(text: str, number: float) -> None:
    raw, digest = seal(1, line(text).model_copy(update={"guard_score": number}), GENESIS)
    assert raw.count(b"\n") == 1
    assert json.loads(raw)["image_sha256"] == text
    found = read_line(raw)
    assert found
    assert found.hash == digest


def test_file_modes_allow_the_service_to_write_and_its_group_to_read(tmp_path: Path) -> None:
    write(tmp_path, 1)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) & 0o777 for path in (tmp_path / "1", *(tmp_path / "1").iterdir())
    }
    assert modes == {"1": 0o750, "lock": 0o640, "audit-00000001.jsonl": 0o640}


def test_a_new_chain_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr("service.audit.chain.sync_folder", flushed.append)
    write(tmp_path, 1)
    assert flushed == [tmp_path, tmp_path / "1"]
    write(tmp_path, 1)
    assert flushed[2:] == [tmp_path / "1"]


def test_a_full_file_is_followed_by_another_also_after_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        write(tmp_path, 2, 2, max_bytes=1000)
    assert [path.name for path in files_of(tmp_path / "1")] == [
        f"audit-0000000{number}.jsonl" for number in (1, 2, 3, 4)
    ]
    assert verdict(tmp_path).lines == 8


def test_files_may_be_archived_and_no_name_is_used_twice(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    with closing(Chain(tmp_path, 1)) as chain:
        for number in range(3):
            chain.append([line(str(number))])
        for path in files_of(tmp_path / "1"):
            path.rename(archive / path.name)
        chain.append([line("3")])
    moved, _ = verify_chain(archive)
    assert (moved.lines, moved.fault) == (3, None)
    assert [path.name for path in files_of(tmp_path / "1")] == ["audit-00000004.jsonl"]
    missing = verdict(tmp_path).fault
    assert missing is not None
    assert moved.head in missing.reason
    assert verdict(tmp_path, moved.head).fault is None
    assert chains_of(archive) == [archive]


def test_two_processes_write_two_chains_and_a_third_continues_the_first(tmp_path: Path) -> None:
    with closing(Chain(tmp_path, 1000)) as one, closing(Chain(tmp_path, 1000)) as other:
        one.append([line("one")])
        other.append([line("other")])
        assert [one.path.name, other.path.name] == ["1", "2"]
    with closing(Chain(tmp_path, 1000)) as third:
        third.append([Stopped()])
        assert third.path.name == "1"
    assert [verify_chain(chain)[0].lines for chain in chains_of(tmp_path)] == [2, 1]


def test_a_damaged_chain_is_left_unchanged_and_the_next_one_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, 2)
    (path,) = files_of(tmp_path / "1")
    path.write_bytes(path.read_bytes().replace(b"NORMAL", b"normal"))
    before = path.read_bytes()
    write(tmp_path, 1)
    assert path.read_bytes() == before
    assert [chain.name for chain in chains_of(tmp_path)] == ["1", "2"]
    assert "audit chain is damaged" in caplog.text


@pytest.mark.parametrize("content", [b"x" * 9 * 2**20, b"\0" * 9 * 2**20 + b"\n"], ids=["no line", "a line of zeros"])
def test_other_content_is_damage_and_is_read_in_bounded_memory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "audit-00000001.jsonl").write_bytes(content)
    write(tmp_path, 1)
    assert verdict(tmp_path).fault is not None
    assert verify_chain(tmp_path / "2")[0].fault is None


def test_a_missing_folder_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Chain(tmp_path / "not mounted", 1000)


def test_the_number_of_chains_is_limited(tmp_path: Path) -> None:
    chains = [Chain(tmp_path, 1000) for _ in range(64)]
    with pytest.raises(AuditError, match="64 chains"):
        Chain(tmp_path, 1000)
    for chain in chains:
        chain.close()


def test_deleting_the_file_in_use_is_an_error(tmp_path: Path) -> None:
    with closing(Chain(tmp_path, 1000)) as chain:
        chain.append([line("x")])
        files_of(tmp_path / "1")[0].unlink()
        with pytest.raises(FileNotFoundError):
            chain.append([line("y")])


def test_the_chain_goes_on_after_a_full_disk(tmp_path: Path) -> None:
    """On a real full disk: the kernel writes what fits, and then fails."""
    with small_disk(tmp_path, "64k"):
        with closing(Chain(tmp_path, 2**20)) as chain:
            chain.append([line(str(number)) for number in range(30)])
            kept = [str(number) for number in range(30)]
            with pytest.raises(OSError, match="No space left"):
                chain.append([line("too much") for _ in range(100)])
        assert verdict(tmp_path).unfinished_bytes
        for _ in range(3):
            with closing(Chain(tmp_path, 2**20)) as chain, pytest.raises(OSError, match="No space left"):
                chain.append([line("still")])
        enlarge(tmp_path, "1m")
        write(tmp_path, 1)
        found = verdict(tmp_path)
        assert (found.fault, found.torn, found.unfinished_bytes) == (None, 1, 0)
        assert [name for name in images(tmp_path) if name != "too much"] == [*kept, "0-0"]
        assert len(files_of(tmp_path / "1")) == 2  # the failed attempts created no files


def test_the_verdict_counts_unclean_shutdowns_and_lost_lines(tmp_path: Path) -> None:
    started = Started(instance="x", service="1", audit="on", **_MODEL)
    events: list[Event] = [started, line("a"), started, Gap(since="then", lost=3), Stopped(), started]
    with closing(Chain(tmp_path, 1000)) as chain:
        chain.append(events)
    found = verdict(tmp_path)
    assert (found.unclean, found.lost, found.fault) == (1, 3, None)
