"""The file of keys, and what is done to it from the command line."""

import json
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


def keys(path: Path, *words: str) -> int:
    return main(["keys", *words, "--keys-file", str(path)])


def test_a_key_is_printed_once_and_kept_as_a_hash(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = ["add", "ward-3", "--scope", "predict", "--scope", "metrics", "--images-per-minute", "30", "--days", "7"]
    assert keys(path, *made) == DONE
    told = capsys.readouterr()
    text = told.out.strip()
    assert "ward-3 may predict, metrics" in told.err
    assert text not in told.err + path.read_text()
    (key,) = read_keys(path).keys
    assert read_keys(path).find(text) == key
    assert (key.scopes, key.images_per_minute) == (("predict", "metrics"), 30)
    assert key.expires_at is not None
    assert (key.expires_at - key.created_at).days == 7
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keys_are_listed_without_what_they_are(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for name in ("ward-3", "ward-4"):
        assert keys(path, "add", name) == DONE
        texts.append(capsys.readouterr().out.strip())
    assert keys(path, "list") == DONE
    assert keys(path, "list", "--json") == DONE
    told = capsys.readouterr().out
    assert "ward-3" in told
    assert not any(text in told for text in texts)
    assert [key["name"] for key in json.loads(told[told.index("{") :])["keys"]] == ["ward-3", "ward-4"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["add", "ward-3"], FAILED, "there is a key named ward-3"),
        (["add", "ward 4"], FAILED, "name: String should match pattern"),
        (["add", "x" * 65], FAILED, "name: String should match pattern"),
        (["add", "ward-4", "--images-per-minute", "0"], FAILED, "images_per_minute: Input should be greater"),
        (["add", "ward-4", "--days", "0"], FAILED, "--days is from 1"),
        (["add", "ward-4", "--days", "99999999"], FAILED, "--days is from 1"),
        (["revoke", "ward-4"], FAILED, "there is no key named ward-4"),
    ],
)
def test_what_cannot_be_done_changes_nothing_and_is_said_in_one_line(
    words: list[str], code: int, says: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_key(path, make_key("ward-3", ["predict"])[1])
    before = path.read_bytes()
    assert keys(path, *words) == code
    told = capsys.readouterr()
    assert told.err.startswith("xray-service: ")
    assert says in told.err
    assert (told.err.count("\n"), told.out) == (1, "")
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["keys.json"]


def test_which_file_has_to_be_said(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "list"]) == WRONG_USE
    assert "XRAY_KEYS_FILE" in capsys.readouterr().err
    monkeypatch.setenv("XRAY_KEYS_FILE", str(path))
    assert main(["keys", "add", "ward-3"]) == DONE
    assert main(["keys", "revoke", "ward-3"]) == DONE
    assert read_keys(path).keys == ()
    assert keys(path.parent / "nowhere" / "keys.json", "add", "ward-3") == FAILED


def test_owner_and_mode_of_the_file_stay(path: Path) -> None:
    add_key(path, make_key("a", ["predict"])[1])
    path.chmod(0o640)
    add_key(path, make_key("b", ["predict"])[1])
    revoke_key(path, "a")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_keys_made_at_once_all_get_in(path: Path) -> None:
    add_key(path, make_key("first", ["predict"])[1])
    program = "import sys; from service.__main__ import main; sys.exit(main(sys.argv[1:]))"

    def made(name: str) -> int:
        command = [sys.executable, "-c", program, "keys", "add", name, "--keys-file", str(path)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(made, [f"ward-{n}" for n in range(4)])) == [0] * 4
    assert {key.name for key in read_keys(path).keys} == {"first", *(f"ward-{n}" for n in range(4))}


def test_two_keys_of_one_name_are_no_file_of_keys(path: Path) -> None:
    one, two = make_key("a", ["predict"])[1], make_key("a", ["predict"])[1]
    path.write_text(json.dumps({"keys": [one.model_dump(mode="json"), two.model_dump(mode="json")]}))
    with pytest.raises(KeyFileError, match="a stands there twice"):
        read_keys(path)


@given(
    st.integers(1, 1000),
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 64)), min_size=1, max_size=50),
)
@example(1, [(8.603018716210457, 1), (0.0, 0)])  # 120 s later by a clock whose last bit is lost
def test_a_quota_never_lets_more_in_than_it_says_and_says_when_to_come_back(
    per_minute: int, asked: list[tuple[float, int]]
) -> None:
    now, let_in = 0.0, 0
    quota = Quota(per_minute, lambda: now)
    for wait_s, more in asked:
        now += wait_s
        try:
            quota.take_one()
        except QuotaExceeded as refusal:
            now += refusal.retry_after_s
            quota.take_one()  # as it was told
        # Before this request, which may bring a debt, no more came than a minute's images and what came back since.
        assert let_in + 1 <= per_minute + now * per_minute / 60 + 1e-6
        quota.take_more(more)
        let_in += 1 + more
