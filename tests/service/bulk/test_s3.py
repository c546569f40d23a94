"""Buckets, in and out, with a store that refuses, fails, and breaks off (tests/store.sh)."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs, parquet

from service.bulk import s3
from service.bulk.plan import ITEMS, part_name
from tests.service.bulk.runs import bulk, draw, files
from tests.service.bulk.store import HEALTHY, Proxy, client, running
from tests.service.bulk.test_sources import write_tar, write_zip

pytestmark = pytest.mark.usefixtures("here")
IMAGES = 7


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = draw(tmp_path_factory.mktemp("archive"), IMAGES)
    (folder / "0002.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def store(address: str, archive: Path) -> fs.S3FileSystem:
    """The store: bucket ``xrays`` with images and archives of them, and bucket ``table``."""
    found = client(address)
    for bucket in ("xrays", "table"):
        found.create_dir(bucket)
    members = {path.name: path.read_bytes() for path in sorted(archive.iterdir())}
    contents = {f"night/{name}": content for name, content in members.items()}
    write_tar(archive.parent / "all.tar", members)
    write_zip(archive.parent / "all.zip", members)
    contents |= {name: (archive.parent / name).read_bytes() for name in ("all.tar", "all.zip")}
    contents["list.csv"] = b"uri\n" + b"".join(
        b"s3://xrays/night/%s\n" % name.encode() for name in [*members, "none.jpg"]
    )
    for name, content in contents.items():
        with found.open_output_stream(f"xrays/{name}") as stream:
            stream.write(content)
    return found


@pytest.fixture
def proxy(address: str, store: fs.S3FileSystem, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The way to the store; the command is told of it by the variables."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with Proxy(address) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        variables = {"ENDPOINT_URL": found.url, "ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s", "MAX_ATTEMPTS": "2"}
        for name, value in variables.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        s3.filesystem.cache_clear()
        yield found
        s3.filesystem.cache_clear()
        found.shutdown()


def kept(store: fs.S3FileSystem, prefix: str) -> dict[str, bytes]:
    """All objects of a prefix, by name."""
    found = store.get_file_info(fs.FileSelector(prefix, allow_not_found=True))
    return {info.base_name: store.open_input_stream(info.path).readall() for info in found}


def test_a_bucket_gives_and_takes_what_folders_do(
    proxy: Proxy, store: fs.S3FileSystem, archive: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    sources = {"folder": "night", "pattern": "*/000?.jpg", "tar": "all.tar", "zip": "all.zip", "list": "list.csv"}
    options = ["--part-size", 3, "--model", bundle_folder]
    assert bulk(archive, "--out", tmp_path / "local", *options) == 1
    expected = parquet.read_table(tmp_path / "local").drop(["file", "member"]).to_pylist()
    for name, source in sources.items():
        out = f"table/{name}"
        assert bulk(f"s3://xrays/{source}", "--out", f"s3://{out}", *options) == 1
        assert sorted(kept(store, out)) == sorted(files(tmp_path / "local")), name
        parts = [f"{out}/{part_name(number)}" for number in range(3)]
        found = [row for part in parts for row in parquet.read_table(part, filesystem=store).to_pylist()]
        assert [{key: row[key] for key in expected[0]} for row in found[:IMAGES]] == expected, name
        if name == "list":
            assert found[IMAGES]["problem"] == "unreadable-file"
            assert found[IMAGES]["file"] == "s3://xrays/night/none.jpg"


def test_a_run_in_a_bucket_goes_on_and_leaves_the_same(
    proxy: Proxy, store: fs.S3FileSystem, bundle_folder: Path
) -> None:
    given = ["s3://xrays/night", "--part-size", 2, "--model", bundle_folder]
    assert bulk(*given, "--out", "s3://table/whole") == 1
    for name, content in kept(store, "table/whole").items():
        if name not in {part_name(1), part_name(3), "_SUCCESS.json"}:
            with store.open_output_stream(f"table/again/{name}") as stream:
                stream.write(content)
    proxy.seen.clear()
    assert bulk(*given, "--out", "s3://table/again", "--resume") == 1
    assert kept(store, "table/again") == kept(store, "table/whole")
    written = {path.rpartition("/")[2] for method, path in proxy.seen if method in {"PUT", "POST"}}
    assert written == {part_name(1), part_name(3), "_SUCCESS.json"}


@pytest.mark.parametrize(
    ("source", "out", "code", "said"),
    [
        ("s3://none/x", "s3://table/a", 2, "SOURCE s3://none/x: there is nothing under this name"),
        ("s3://xrays/none", "s3://table/a", 2, "SOURCE s3://xrays/none: there is nothing under this name"),
        ("s3://xrays/none.csv", "s3://table/a", 2, "SOURCE s3://xrays/none.csv: there is nothing under this name"),
        ("s3://xrays/night", "s3://none/a", 2, "--out: there is no bucket none"),
    ],
)
def test_what_is_not_there_is_wrong_usage(
    *,
    proxy: Proxy,
    bundle_folder: Path,
    capsys: pytest.CaptureFixture[str],
    source: str,
    out: str,
    code: int,
    said: str,
) -> None:
    assert bulk(source, "--out", out, "--model", bundle_folder) == code
    assert capsys.readouterr().err == f"xray-service: {said}\n"


def test_refused_credentials_end_the_run_in_one_line_and_no_image_is_blamed(
    proxy: Proxy, store: fs.S3FileSystem, bundle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["s3://xrays/night", "--out", "s3://table/refused", "--part-size", 2, "--model", bundle_folder]
    proxy.fault = lambda method, path: 403
    assert bulk(*given) == 1
    said = capsys.readouterr().err
    assert "the store rejects the credentials of AWS_ACCESS_KEY_ID" in said
    assert said.count("\n") == 1
    proxy.fault = lambda method, path: 403 if path.endswith("0004.jpg") else False  # from some moment on
    assert bulk(*given) == 1
    said = capsys.readouterr().err
    assert said == (
        "xray-service: reading an image: the store rejects the credentials of AWS_ACCESS_KEY_ID; "
        "continue with --resume\n"
    )
    assert sorted(kept(store, "table/refused")) == ["_plan.json", ITEMS, part_name(0), part_name(1)]
    proxy.fault = HEALTHY
    assert bulk(*given, "--resume") == 1
    assert len(kept(store, "table/refused")) == 7


@pytest.mark.parametrize(
    ("fault", "name"), [(500, "0004.jpg"), (503, "0004.jpg"), (500, part_name(2)), (None, part_name(2)), (None, ITEMS)]
)
def test_a_store_that_fails_or_breaks_off_leaves_whole_parts_and_the_run_goes_on(
    *,
    proxy: Proxy,
    store: fs.S3FileSystem,
    bundle_folder: Path,
    capsys: pytest.CaptureFixture[str],
    fault: int | None,
    name: str,
) -> None:
    prefix = f"table/fails-{fault}-{name}"
    given = ["s3://xrays/night", "--out", f"s3://{prefix}", "--part-size", 2, "--model", bundle_folder]

    def stays(method: str, path: str) -> int | bool | None:
        return fault if path.endswith(name) and method in {"GET", "PUT"} else False

    proxy.fault = stays
    assert bulk(*given) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "the store fails" in said
    assert name not in kept(store, prefix)
    assert "_SUCCESS.json" not in kept(store, prefix)
    once = [name]
    proxy.fault = lambda method, path: fault if stays(method, path) is not False and once and once.pop() else False
    assert bulk(*given, "--resume") == 1  # the client asks again
    assert not once
    proxy.fault = HEALTHY
    assert bulk("s3://xrays/night", "--out", f"s3://{prefix}-whole", "--part-size", 2, "--model", bundle_folder) == 1
    assert kept(store, prefix) == kept(store, f"{prefix}-whole")


def test_no_key_and_no_image_is_named_in_what_is_said(
    proxy: Proxy, bundle_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    s3.filesystem.cache_clear()
    proxy.fault = lambda method, path: 500 if path.endswith("0004.jpg") else False
    bulk("s3://xrays/night", "--out", "s3://table/quiet", "--model", bundle_folder)
    said = capsys.readouterr().err
    assert "very-secret" not in said
    assert "0004" not in said
