"""The key file and the command ``keys``."""

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.__main__ import DONE, FAILED, WRONG_USE, main
from service.access.keyring import Quota
from service.access.keys import KeyFileError, add_key, make_key, read_keys, revoke_key
from service.errors import QuotaExceeded
from tests import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def keys(path: Path, *arguments: str) -> int:
    return main(["keys", *arguments, "--keys-file", str(path)])


def test_a_key_is_printed_once_and_kept_as_a_hash(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["add", "ward-3", "--scope", "predict", "--scope", "metrics", "--images-per-minute", "30"]
    assert keys(path, *arguments, "--days", "7") == DONE
    output = capsys.readouterr()
    text = output.out.strip()
    assert "Created key 'ward-3' (scopes: predict, metrics)" in output.err
    assert text not in output.err + path.read_text()
    (key,) = read_keys(path).keys
    assert read_keys(path).find(text) == key
    assert (key.scopes, key.images_per_minute) == (("predict", "metrics"), 30)
    assert key.expires_at is not None
    assert (key.expires_at - key.created_at).days == 7
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_list_of_keys_does_not_contain_the_keys(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for name in ("ward-3", "ward-4"):
        assert keys(path, "add", name) == DONE
        texts.append(capsys.readouterr().out.strip())
    assert keys(path, "list") == DONE
    assert keys(path, "list", "--json") == DONE
    stdout = capsys.readouterr().out
    assert "ward-3" in stdout
    assert not any(text in stdout for text in texts)
    assert [key["name"] for key in json.loads(stdout[stdout.index("{") :])["keys"]] == ["ward-3", "ward-4"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["add", "ward-3"], FAILED, "a key named ward-3 exists"),
        (["add", "ward 4"], FAILED, "name: it does not match"),
        (["add", "x" * 65], FAILED, "name: it does not match"),
        (["add", "ward-4", "--images-per-minute", "0"], FAILED, "images_per_minute: it must be"),
        (["add", "ward-4", "--days", "0"], FAILED, "--days must be from 1"),
        (["add", "ward-4", "--days", "99999999"], FAILED, "--days must be from 1"),
        (["revoke", "ward-4"], FAILED, "there is no key named ward-4"),
    ],
)
def test_a_failed_command_changes_nothing_and_reports_one_line(
    arguments: list[str], code: int, message: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_key(path, make_key("ward-3", ["predict"])[1])
    before = path.read_bytes()
    assert keys(path, *arguments) == code
    output = capsys.readouterr()
    assert output.err.startswith("xray-service: ")
    assert message in output.err
    assert (output.err.count("\n"), output.out) == (1, "")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


def test_the_key_file_must_be_given(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "list"]) == WRONG_USE
    assert "XRAY_KEYS_FILE" in capsys.readouterr().err
    monkeypatch.setenv("XRAY_KEYS_FILE", str(path))
    assert main(["keys", "add", "ward-3"]) == DONE
    assert main(["keys", "revoke", "ward-3"]) == DONE
    assert read_keys(path).keys == ()
    assert keys(path.parent / "nowhere" / "keys.json", "add", "ward-3") == FAILED


def test_the_key_file_keeps_its_owner_and_mode(path: Path) -> None:
    add_key(path, make_key("a", ["predict"])[1])
    path.chmod(0o640)
    add_key(path, make_key("b", ["predict"])[1])
    revoke_key(path, "a")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_keys_added_concurrently_are_all_stored(path: Path) -> None:
    add_key(path, make_key("first", ["predict"])[1])
    program = "import sys; from service.__main__ import main; sys.exit(main(sys.argv[1:]))"

    def add(name: str) -> int:
        command = [sys.executable, "-c", program, "keys", "add", name, "--keys-file", str(path)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(add, [f"ward-{n}" for n in range(4)])) == [0] * 4
    assert {key.name for key in read_keys(path).keys} == {"first", *(f"ward-{n}" for n in range(4))}


def test_a_key_file_with_duplicate_names_is_invalid(path: Path) -> None:
    one, two = make_key("a", ["predict"])[1], make_key("a", ["predict"])[1]
    path.write_text(json.dumps({"keys": [one.model_dump(mode="json"), two.model_dump(mode="json")]}))
    with pytest.raises(KeyFileError, match="duplicate key a"):
        read_keys(path)


@given(
    st.integers(1, 1000),
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 64)), min_size=1, max_size=50),
)
@example(1, [(8.603018716210457, 1), (0.0, 0)])  # 120 s later, on a clock that has lost its last bit
def test_a_quota_is_never_exceeded_and_retry_after_suffices(per_minute: int, requests: list[tuple[float, int]]) -> None:
    now, accepted = 0.0, 0
    quota = Quota(per_minute, lambda: now)
    for wait_s, more in requests:
        now += wait_s
        try:
            quota.take_one()
        except QuotaExceeded as rejection:
            now += rejection.retry_after_s
            quota.take_one()  # succeeds after Retry-After
        # Before this request, which may go into debt, at most one minute's allowance and the refill were accepted.
        assert accepted + 1 <= per_minute + now * per_minute / 60 + 1e-6
        quota.take_more(more)
        accepted += 1 + more


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A link in one folder to the key file in another, as Kubernetes and configuration tools make them."""
    for name in ("etc", "srv"):
        (tmp_path / name).mkdir()
    link = tmp_path / "etc" / "keys.json"
    link.symlink_to("../srv/keys.json")
    return link


def test_a_link_is_followed(linked: Path, tmp_path: Path) -> None:
    file = tmp_path / "srv" / "keys.json"
    for name in ("first", "second"):  # the file does not exist before the first
        assert keys(linked, "add", name) == DONE
        assert linked.is_symlink()
        assert not file.is_symlink()
    assert keys(linked, "revoke", "first") == DONE
    assert [key.name for key in read_keys(file).keys] == ["second"]
    assert sorted(path.name for path in tmp_path.rglob("*") if not path.is_dir()) == ["keys.json", "keys.json"]


def test_a_loop_of_links_is_refused(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.symlink_to(path.name)
    assert keys(path, "add", "ward-3") == FAILED
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("mode", [0o666, 0o602, 0o646])
def test_a_file_that_others_may_write_is_refused(mode: int, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys(path, "add", "ward-3") == DONE
    path.chmod(mode)
    for action in (["list"], ["add", "ward-4"], ["revoke", "ward-3"]):
        capsys.readouterr()
        assert keys(path, *action) == FAILED
        assert (
            f"every user of this machine may write it, and so create keys: chmod o-w {path}" in capsys.readouterr().err
        )
    path.chmod(0o600)
    assert [key.name for key in read_keys(path).keys] == ["ward-3"]


def test_a_file_in_a_folder_that_others_may_write_is_refused(linked: Path, tmp_path: Path) -> None:
    add_key(linked, make_key("ward-3", ["predict"])[1])
    (tmp_path / "srv").chmod(0o777)
    with pytest.raises(KeyFileError, match=r"every user of this machine may replace it: chmod o-w .*/srv"):
        read_keys(linked)
    (tmp_path / "srv").chmod(0o1777)  # as /tmp: nobody else may replace it
    assert read_keys(linked).keys


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o444, 0o600, 0o640, 0o644, 0o660, 0o664])
def test_a_group_that_may_write_is_accepted(mode: int, path: Path) -> None:
    """The administrator chose the group; Kubernetes' fsGroup and a umask of 002 make such files."""
    add_key(path, make_key("ward-3", ["predict"])[1])
    path.chmod(mode)
    assert read_keys(path).keys


def test_on_a_read_only_mount_the_mode_does_not_matter(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret of compose is mounted read-only; on Docker Desktop all of its bits are set."""
    add_key(path, make_key("ward-3", ["predict"])[1])
    path.chmod(0o777)
    mounted = os.statvfs_result((*os.statvfs(path)[:8], os.ST_RDONLY, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: mounted)
    assert read_keys(path).keys
