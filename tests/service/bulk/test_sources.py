"""What is to be read: folders, patterns, archives and lists, in an order that never changes."""

import io
import os
import random
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from service.bulk.sources.finding import find_items
from service.bulk.sources.items import Item, ItemReader, path_of, uri_of
from service.client.targets import TargetError
from service.settings import SettingsError
from tests.drawings import jpeg

_MAX = 10_000_000


def found(*sources: object) -> list[Item]:
    return list(find_items([str(source) for source in sources]))


def contents(items: list[Item], max_bytes: int = _MAX) -> list[bytes | str]:
    """The bytes of each item, or the slug of its problem."""
    reader, read = ItemReader(max_bytes), list[bytes | str]()
    for item in items:
        try:
            read.append(reader.read(item))
        except TargetError as error:
            read.append(error.kind.slug)
    reader.close()
    return read


def reason(item: Item) -> str:
    with pytest.raises(TargetError) as raised:
        ItemReader(_MAX).read(item)
    return str(raised.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ["b.jpg", "a/2.PNG", "a/10.jpeg", "c/x/y.dcm", ".hidden.jpg", ".cache/z.jpg", "a/notes.txt", "a/IM001"]
    random.Random(0).shuffle(names)
    for name in names:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "in"


def test_a_folder_gives_its_images_sorted_and_counts_what_is_left_out(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop").symlink_to(folder)
    (folder / "gone.jpg").symlink_to("nowhere")
    left_out: list[str] = []
    items = list(find_items([str(folder)], left_out.append))
    assert [item.uri for item in items] == [
        str(folder / name) for name in ("b.jpg", "gone.jpg", "a/10.jpeg", "a/2.PNG", "c/x/y.dcm")
    ]
    assert left_out == ["IM001", "notes.txt"]
    assert contents(items) == [b"b.jpg", "unreadable-file", b"a/10.jpeg", b"a/2.PNG", b"c/x/y.dcm"]


@pytest.mark.parametrize("name", ["", "*"])
def test_a_link_that_leads_nowhere_is_a_row_and_no_end_of_the_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    (tmp_path / "b.jpg").symlink_to("b.jpg")
    (tmp_path / "c.jpg").symlink_to("x" * 300)
    items = list(find_items([str(tmp_path / name)]))
    assert contents(items) == [b"a", "unreadable-file", "unreadable-file"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.jpg", ["b.jpg"]),
        ("*/*.[pj]*", ["a/10.jpeg"]),
        ("**/*.PNG", ["a/2.PNG"]),
        ("a/*", ["a/10.jpeg", "a/2.PNG", "a/IM001", "a/notes.txt"]),
        ("**/*", ["b.jpg", "a/10.jpeg", "a/2.PNG", "a/IM001", "a/notes.txt", "c/x/y.dcm"]),
        ("**/?.dcm", ["c/x/y.dcm"]),
        ("c/**/y.*", ["c/x/y.dcm"]),
        (".*.jpg", [".hidden.jpg"]),
    ],
)
def test_a_pattern_gives_every_file_of_its_names(folder: Path, pattern: str, names: list[str]) -> None:
    assert [item.uri for item in found(folder / pattern)] == [str(folder / name) for name in names]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / "scan[1].jpg"
    path.write_bytes(b"scan")
    assert contents(found(path)) == [b"scan"]


def test_a_name_that_is_not_utf_8_is_kept(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/m\xfcller 100%.jpg"
    Path(os.fsdecode(path)).write_bytes(b"named")
    (item,) = found(tmp_path)
    assert item.uri == f"file://{tmp_path}/m%FCller%20100%25.jpg"
    assert os.fsencode(path_of(item.uri)) == path
    assert contents([item]) == [b"named"]
    assert uri_of("/plain/ü.jpg") == "/plain/ü.jpg"


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


WRITE = {"tar": write_tar, "zip": write_zip}
MEMBERS = {"one.jpg": jpeg(1), "../x/two.jpg": jpeg(2), f"{'long/' * 60}three.png": jpeg(3), "readme.txt": b"no image"}


@pytest.mark.parametrize("kind", WRITE)
def test_members_of_an_archive_are_read_where_they_lie(tmp_path: Path, kind: str) -> None:
    path = WRITE[kind](tmp_path / f"a.{kind}", MEMBERS)
    items = found(path)
    assert [(item.uri, item.member) for item in items] == [(str(path), name) for name in list(MEMBERS)[:3]]
    assert contents(items) == list(MEMBERS.values())[:3]
    assert contents(items, max_bytes=100) == ["body-too-large"] * 3
    assert list(tmp_path.iterdir()) == [path]  # nothing is unpacked, wherever a name points


@pytest.mark.parametrize("kind", WRITE)
def test_an_archive_that_is_cut_gives_what_is_there_and_says_that_the_rest_is_not(tmp_path: Path, kind: str) -> None:
    path = WRITE[kind](tmp_path / f"a.{kind}", {f"{number}.jpg": jpeg(number) for number in range(5)})
    whole = found(path)
    data = path.read_bytes()
    last = whole[-1]
    end = len(data) if kind == "zip" else (last.position or 0) + (last.size or 0)
    for size in range(0, end, 997):
        path.write_bytes(data[:size])
        items = found(path)
        assert items[:-1] == whole[: len(items) - 1]
        assert items[-1].member is None
        assert "the rest of it is not known" in reason(items[-1])
        assert contents(items[:-2]) == contents(whole[: max(0, len(items) - 2)])


@pytest.mark.parametrize("kind", WRITE)
def test_an_archive_that_has_changed_since_it_was_listed_gives_no_wrong_image(tmp_path: Path, kind: str) -> None:
    path = WRITE[kind](tmp_path / f"a.{kind}", {"1.jpg": jpeg(1), "2.jpg": jpeg(2)})
    items = found(path)
    WRITE[kind](path, {"0.jpg": b"another, in front of the others", "1.jpg": jpeg(1), "2.jpg": jpeg(2)})
    assert contents(items) == ["unreadable-file", "unreadable-file"]
    path.unlink()
    assert contents(items) == ["unreadable-file", "unreadable-file"]


def test_a_damaged_or_encrypted_member_is_a_problem_of_its_own(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"1.jpg": jpeg(1), "2.jpg": jpeg(2)})
    data = bytearray(path.read_bytes())
    data[data.index(b"1.jpg") + 300] ^= 0xFF
    path.write_bytes(data)
    assert contents(found(path)) == ["unreadable-file", jpeg(2)]
    write_zip(path, {"1.jpg": jpeg(1)})
    data = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(magic) + offset] |= 1
    path.write_bytes(data)
    assert reason(found(path)[0]) == "the member of the archive is encrypted"


def _write_csv(path: Path, uris: list[str]) -> None:
    path.write_text("\ufeffpatient,uri\n" + "".join(f'7,"{uri}"\n' for uri in uris), encoding="utf-8")


def _write_parquet(path: Path, uris: list[str]) -> None:
    parquet.write_table(
        pyarrow.table({"n": range(len(uris)), "uri": pyarrow.array(uris, pyarrow.large_string())}), path
    )


@pytest.mark.parametrize(("kind", "write"), [("csv", _write_csv), ("parquet", _write_parquet)])
def test_a_list_gives_its_rows_in_order_and_each_fault_is_a_row(
    folder: Path, kind: str, write: Callable[[Path, list[str]], None]
) -> None:
    uris = ["b.jpg", "b.jpg", str(folder / "a/10.jpeg"), "none.jpg", "", "http://x/y.jpg", "/dev/zero", "a"]
    uris += [f"file://{folder}/a/2%2EPNG", "nul\0.jpg" if kind == "parquet" else "b.jpg/x"]
    write(folder / f"list.{kind}", uris)
    items = found(folder / f"list.{kind}")
    assert len(items) == len(uris)
    assert contents(items) == [
        b"b.jpg",
        b"b.jpg",
        b"a/10.jpeg",
        *["unreadable-file"] * 5,
        b"a/2.PNG",
        "unreadable-file",
    ]
    assert [reason(item) for item in items[3:8]] == [
        "No such file or directory",
        "the list has no uri here",
        "a URI is read only with s3:// or file://",
        "it is not a regular file",
        "it is not a regular file",
    ]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("list.csv", b"file\n1.jpg\n", "it has no column uri"),
        ("list.csv", b"", "it has no column uri"),
        ("list.csv", b"uri\n", "there are no images in it"),
        ("list.csv", b"uri\n\xff\xfe.jpg\n", "it is not a CSV file in UTF-8"),
        ("list.csv", b"uri\n" + b"x" * 200_000, "it is not a CSV file in UTF-8"),
        ("list.parquet", b"no table", "it is not a Parquet file with texts in the column uri"),
        ("none.csv", None, "there is no such file"),
        ("none", None, "there is no such file or folder"),
        ("*.tiff", None, "there are no images in it"),
        ("nowhere/*.jpg", None, "No such file or directory"),
    ],
)
def test_a_source_that_cannot_be_listed_is_named_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, why: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsError) as raised:
        found(tmp_path / name)
    assert str(raised.value).startswith(f"SOURCE {tmp_path / name}: ")
    assert str(raised.value).endswith(why)


def test_a_list_of_numbers_is_no_list(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"uri": [[1], [2]]}), tmp_path / "list.parquet")
    with pytest.raises(SettingsError, match="not a Parquet file with texts"):
        found(tmp_path / "list.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match="there are no images in it"):
        found(tmp_path / "empty")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(folder: Path) -> None:
    (folder / "a").chmod(0)
    with pytest.raises(SettingsError, match="a: Permission denied"):
        found(folder)


def test_a_list_is_never_whole_in_memory(tmp_path: Path) -> None:
    def lines() -> Iterator[str]:
        yield "uri\n"
        yield from (f"folder/of/images/{number:08d}.jpg\n" for number in range(100_000))

    with (tmp_path / "list.csv").open("w") as file:
        file.writelines(lines())
    items = find_items([str(tmp_path / "list.csv")])
    assert sum(1 for _ in islice(items, 1000)) == 1000
    tracemalloc.start()
    assert sum(1 for _ in items) == 99_000
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
