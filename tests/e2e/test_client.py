"""``predict --url`` against real servers, and against scripted ones that fail."""

import base64
import contextlib
import csv
import hashlib
import io
import json
import os
import pty
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme

from service.__main__ import main
from tests import ROOT
from tests.commands import SERVICE, run
from tests.drawings import jpeg, png
from tests.e2e.scripted import HTML, MODEL, Scripted, Step, answer, problem, scripted
from tests.e2e.server import Server, running
from tests.waiting import DEADLINE_S, until

PATIENT = "Mueller_Anna_1990"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 good images, 8 of them in a subfolder."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "below").mkdir()
    for number in range(16):
        (folder / f"{PATIENT}_{number:02}.jpeg").write_bytes(jpeg(number))
    for number in range(8):
        (folder / "below" / f"{number:02}.PNG").write_bytes(png(number))
    return folder


@pytest.fixture(scope="module")
def server(choosy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(choosy_folder, tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / f"{PATIENT}.jpeg"
    path.write_bytes(jpeg())
    return path


class Ran:
    """Exit code and output of a command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.out)))


class WatchedStream(io.StringIO):
    """A stream for stderr; ``anything`` is set once something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.anything = threading.Event()

    def write(self, text: str) -> int:
        """Write, and set ``anything``."""
        self.anything.set()
        return super().write(text)


def predict(capsys: pytest.CaptureFixture[str], url: str, *arguments: object) -> Ran:
    code = main(["predict", "--url", url, "--format", "csv", *map(str, arguments)])
    printed = capsys.readouterr()
    return Ran(code, printed.out, printed.err)


# -- real servers


def test_a_folder_gives_the_same_results_as_without_a_server(
    server: Server, images: Path, choosy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "below" / "bad.png").write_bytes(b"GIF89a")
    served = predict(capsys, server.url, images, images / "nowhere.png")
    assert (
        main(["predict", "--format", "csv", "--model", str(choosy_folder), str(images), f"{images}/nowhere.png"]) == 1
    )
    here = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    (images / "below" / "bad.png").unlink()
    assert served.code == 1
    assert served.err == "xray-service: 2 of 26 files failed\n"
    assert len(served.rows) == 26
    for one, other in zip(served.rows, here, strict=True):
        assert float(one.pop("probability") or -1) == pytest.approx(float(other.pop("probability") or -1), abs=1e-6)
        one.pop("request_id"), other.pop("request_id")
        assert one == other
    names = [row["file"] for row in served.rows]
    assert names == sorted(names[:16]) + sorted(names[16:25]) + [f"{images}/nowhere.png"]


def test_json_has_the_server_s_answers(server: Server, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["predict", "--json", "--url", f"{server.url}/", "--operating-point", "rule-in", str(images)])
    results = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (results["model"]["name"], results["provider"]) == ("brightness", "CPUExecutionProvider")
    assert results["operating_point"] == "rule-in"
    assert {entry["threshold"] for entry in results["predictions"]} == {0.8}
    assert len(results["predictions"]) == 24


def test_an_unknown_operating_point_is_wrong_use(
    server: Server, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = predict(capsys, server.url, "--operating-point", "brave", images)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert ran.err.startswith("xray-service: --operating-point: the operating points of this model are: balanced")


def test_the_client_retries_while_the_service_is_at_capacity(
    bundle_folder: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(bundle_folder, tmp_path, capacity=1, max_images=1) as full:
        ran = predict(capsys, full.url, "--parallel", 3, images)
    lines = [line for line in full.log_lines if line.get("route") == "/predict"]
    assert ran.code == 0
    assert len(ran.rows) == 24
    refused = [line["outcome"] for line in lines if line["status"] == 503]
    assert set(refused) == {"overloaded"}
    assert "The service is overloaded" in ran.err
    assert PATIENT not in full.log


def test_the_client_retries_while_the_service_restarts(bundle_folder: Path, images: Path, tmp_path: Path) -> None:
    """The service drains and answers 503, then nothing listens on the port, then the next service is ready."""
    command = [*SERVICE, "predict", "--format", "csv", "--parallel", "2", "--url"]
    many = [str(images)] * 20
    with (
        running(bundle_folder, tmp_path, drain_s=0.5) as first,
        subprocess.Popen([*command, first.url, *many], cwd=ROOT, stdout=subprocess.PIPE, text=True) as client,
    ):
        assert client.stdout
        lines = [client.stdout.readline() for _ in range(20)]
        assert first.stop() == 0
        with running(bundle_folder, tmp_path, port=first.port):
            lines += client.stdout.readlines()
            assert client.wait(DEADLINE_S) == 0
    rows = list(csv.DictReader(lines))
    assert len(rows) == 20 * 24
    assert {row["problem"] for row in rows} == {""}


# -- scripted servers


def test_each_image_is_sent_alone_without_its_name_and_with_its_digest(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted(answer()) as broken:
        ran = predict(capsys, broken.url, image)
    assert (ran.code, ran.rows[0]["label"], ran.rows[0]["file"]) == (0, "NORMAL", str(image))
    ((_, path, headers, body),) = broken.predictions
    assert path == "/predict"
    assert body == image.read_bytes()
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert headers["content-digest"] == f"sha-256=:{digest}:"
    assert "authorization" not in headers
    assert PATIENT not in str(broken.asked)


@pytest.mark.parametrize("how", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
def test_every_connection_observes_retry_after(
    how: str, status: int, images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = problem(status, "overloaded", Retry_After="2" if how == "seconds" else timedelta(seconds=4))
    # The other three requests in flight are answered later, so that none of them makes room for another.
    monkeypatch.setattr("sys.stderr", stderr := WatchedStream())
    with scripted(refusal, Step(200, answer().body, after=stderr.anything)) as broken:
        ran = predict(capsys, broken.url, "--parallel", 4, images)
    assert ran.code == 0
    assert len(ran.rows) == 24
    assert stderr.getvalue() == f"xray-service: {status} A title: a detail; retrying for up to 120 s\n"
    at = [when for when, *_ in broken.predictions]
    assert sum(when < at[0] + (2 if how == "seconds" else 1) for when in at) <= 4
    assert len(at) == 25


@pytest.mark.parametrize(
    "failure",
    [
        Step(0),
        Step(502, b"<html>", "text/html"),
        Step(504, b"<html>", "text/html"),
        problem(504, "deadline-exceeded"),
        problem(408, "upload-timeout"),
        problem(400, "digest-mismatch"),
    ],
    ids=["dropped", "502", "504 html", "504", "408", "digest"],
)
def test_temporary_failures_are_retried(failure: Step, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(failure, answer()) as broken:
        ran = predict(capsys, broken.url, image)
    assert (ran.code, ran.rows[0]["label"]) == (0, "NORMAL")
    assert len(broken.predictions) == 2


def test_a_request_without_an_answer_is_retried(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given_up = threading.Event()
    with scripted(Step(200, answer().body, after=given_up), answer()) as broken:
        ran = predict(capsys, broken.url, "--timeout", 2, image)
        given_up.set()
    assert (ran.code, ran.rows[0]["label"]) == (0, "NORMAL")
    assert len(broken.predictions) >= 2  # more on a slow machine


@pytest.mark.parametrize(
    ("failure", "slug"),
    [
        (problem(422, "truncated-image"), "truncated-image"),
        (problem(413, "body-too-large"), "body-too-large"),
        (Step(413, b"<html>", "text/html"), "body-too-large"),
        (problem(500, "model-fault"), "model-fault"),
    ],
)
def test_an_image_s_own_error_is_not_retried_and_does_not_affect_the_others(
    failure: Step, slug: str, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted(failure, answer()) as broken:
        ran = predict(capsys, broken.url, "--parallel", 1, images)
    assert (ran.code, ran.err) == (1, "xray-service: 1 of 24 files failed\n")
    assert [row["problem"] for row in ran.rows] == [slug] + 23 * [""]
    assert len(broken.predictions) == 24


def test_only_the_image_that_always_fails_is_given_up(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(*[Step(0)] * 2, answer()) as broken:
        ran = predict(capsys, broken.url, "--parallel", 1, "--give-up-after", 1, images)
    assert ran.code == 1
    assert [row["problem"] for row in ran.rows] == ["unreachable"] + 23 * [""]
    assert "connection lost" in ran.rows[0]["detail"]


@pytest.mark.parametrize("failure", [problem(503, "not-ready", Retry_After="1"), problem(503, "overloaded")])
def test_a_service_that_always_refuses_is_given_up_for_all_files_at_once(
    failure: Step, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted(answer(), answer(), failure) as broken:
        ran = predict(capsys, broken.url, "--parallel", 1, "--give-up-after", 2, images)
    assert ran.code == 1
    assert len(broken.predictions) < 10  # of 22 that could each have been asked for until it is given up
    assert [row["label"] for row in ran.rows] == ["NORMAL", "NORMAL"]
    assert ran.err.splitlines()[-1] == (
        f"xray-service: no answer from {broken.url} for 2 s: 503 A title: a detail; 22 of 24 files have no result"
    )


@pytest.mark.parametrize("retry_after", ["3600", format_datetime(datetime(2100, 1, 1, tzinfo=UTC), usegmt=True)])
def test_a_retry_after_beyond_the_limit_is_given_up_at_once(
    retry_after: str, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted(problem(503, "not-ready", Retry_After=retry_after)) as broken:
        ran = predict(capsys, broken.url, image)
    assert ran.code == 1
    assert len(broken.predictions) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_the_client_stops_when_it_is_not_authorized(
    status: int, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted(problem(status, "forbidden")) as broken:
        ran = predict(capsys, broken.url, "--parallel", 2, images)
    assert (ran.code, ran.err.count("\n"), ran.rows) == (1, 1, [])
    assert f"rejected the request ({status}): a detail; give an API key with --key-file" in ran.err
    assert len(broken.predictions) <= 4


def test_the_key_comes_from_a_file_or_the_environment(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text("from-file\n")
    monkeypatch.setenv("XRAY_CLIENT_KEY", "from-environment")
    with scripted(answer()) as broken:
        predict(capsys, broken.url, image)
        predict(capsys, broken.url, "--key-file", key, image)
    sent = [headers["authorization"] for _, _, headers, _ in broken.asked]
    assert sent == ["Bearer from-environment"] * 2 + ["Bearer from-file"] * 2


@pytest.mark.parametrize("text", [b"", b"\n", b"two words", b"a\nb", b"\xff", "schlüssel".encode()])
def test_a_malformed_key_is_not_sent(
    text: bytes, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_bytes(text)
    ran = predict(capsys, "http://127.0.0.1:1", "--key-file", tmp_path / "key", image)
    assert ran.code == 2
    assert "does not hold an API key: expected one line without spaces" in ran.err


_CAP = Step(200, b'{"predictions": []}')
_TWO = Step(200, answer().body.replace(b'"predictions":[', b'"predictions":[{"filename":null},'))
_MOVED = Step(308, b"", "text/plain", {"Location": "https://elsewhere/"})


@pytest.mark.parametrize(
    "strange", [HTML, _CAP, _MOVED, Step(404, b"nothing", "text/plain"), problem(404, "not-found")]
)
def test_no_image_is_sent_to_another_kind_of_server(
    strange: Step, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted(answer(), model=strange) as other:
        ran = predict(capsys, other.url, image)
    assert (ran.code, ran.err.count("\n"), ran.rows) == (1, 1, [])
    expected = f"xray-service: {other.url} does not answer like an xray-inference service ({strange.status}, "
    assert ran.err.startswith(expected)
    assert other.predictions == []
    if strange is _MOVED:
        assert "redirects to https://elsewhere/" in ran.err


@pytest.mark.parametrize("strange", [HTML, _CAP, _TWO, _MOVED, Step(500, b"<html>", "text/html")])
def test_the_client_stops_when_answers_no_longer_are_the_service_s(
    strange: Step, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted(answer(), strange, model=MODEL) as other:
        ran = predict(capsys, other.url, "--parallel", 1, images)
    assert (ran.code, ran.err.count("\n"), len(ran.rows)) == (1, 1, 1)
    assert "does not answer like an xray-inference service" in ran.err
    assert "23 of 24 files have no result" in ran.err


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nowhere.invalid"])
def test_an_unreachable_service(url: str, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = predict(capsys, url, "--give-up-after", 0.1, image)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert ran.err.startswith(f"xray-service: no answer from {url} for 0.1 s: cannot connect: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--url", "localhost:8000"],
        ["--url", "ftp://x"],
        ["--url", "http://"],
        ["--url", "http://name:secret@host"],
        ["--url", "http://host/?key=1"],
        ["--url", "http://[::1"],
        ["--url", "http://x", "--device", "cpu"],
        ["--url", "http://x", "--ca-file", "/nowhere"],
        ["--url", "http://x", "--key-file", "/nowhere"],
        ["--parallel", "2"],
        ["--key-file", "x"],
        ["--resume"],
        ["--resume", "--output", "x.json"],
        ["--output", "x.xlsx"],
        ["--json", "--format", "csv"],
    ],
    ids=" ".join,
)
def test_wrong_use(
    arguments: list[str],
    image: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["predict", *arguments, str(image)]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert "secret" not in printed.err
    assert list(tmp_path.iterdir()) == [image]


@pytest.mark.parametrize(
    "arguments",
    [["--parallel", "0"], ["--parallel", "many"], ["--timeout", "0"], ["--timeout", "nan"], ["--format", "x"]],
)
def test_wrong_numbers(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["predict", "--url", "http://x", *arguments, "file"])
    assert ended.value.code == 2
    assert f"argument {arguments[0]}" in capsys.readouterr().err


def test_no_proxy_sees_an_image(
    image: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted(answer()) as proxy, scripted(answer()) as broken:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert predict(capsys, broken.url, image).code == 0
    assert proxy.asked == []


def _interrupt_after(count: int, server: Scripted, client: subprocess.Popen[str]) -> None:
    """Send Ctrl-C once this many images have been sent."""
    until(lambda: len(server.predictions) >= count or client.poll() is not None)
    client.send_signal(signal.SIGINT)


@pytest.fixture
def held() -> Iterator[Step]:
    """An answer that is not sent before the test has ended."""
    ended = threading.Event()
    yield Step(200, answer().body, after=ended)
    ended.set()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_ctrl_c_keeps_finished_results_and_resume_requests_the_rest(
    kind: str, images: Path, tmp_path: Path, held: Step
) -> None:
    result = tmp_path / f"r.{kind}"
    command = [*SERVICE, "predict", "--parallel", "1", "--output", str(result), "--url"]
    with (
        scripted(*[answer()] * 5, held) as slow,
        subprocess.Popen([*command, slow.url, str(images)], cwd=ROOT, stderr=subprocess.PIPE, text=True) as client,
    ):
        _interrupt_after(6, slow, client)
        _, printed = client.communicate(timeout=DEADLINE_S)
    assert client.returncode == 130
    assert printed == f"xray-service: the results so far are in {result}.part; continue with --resume\n"
    assert not result.exists()
    with scripted(answer()) as broken:
        ended = run([*command, broken.url, images, "--resume"], cwd=ROOT)
    assert ended.returncode == 0
    assert len(broken.predictions) == 24 - 5
    assert len(result.read_text().splitlines()) == 24 + (kind == "csv")
    assert [path.name for path in tmp_path.iterdir()] == [result.name]


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_prints_finished_results(images: Path, held: Step) -> None:
    command = [*SERVICE, "predict", "--parallel", "1", "--json", "--url"]
    with (
        scripted(*[answer()] * 3, held) as slow,
        subprocess.Popen([*command, slow.url, str(images)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as client,
    ):
        _interrupt_after(4, slow, client)
        out, _ = client.communicate(timeout=DEADLINE_S)
    assert client.returncode == 130
    assert len(json.loads(out)["predictions"]) == 3


def test_a_closed_pipe_ends_the_client_without_a_message(images: Path) -> None:
    command = f"{sys.executable} -m service predict --format csv --url $URL '{images}' '{images}' | head -n 2"
    with scripted(Step(200, answer().body, after_s=0.05)) as broken:
        ran = run(["bash", "-o", "pipefail", "-c", command], cwd=ROOT, env=os.environ | {"URL": broken.url})
    assert (ran.returncode, ran.stdout.count("\n"), ran.stderr) == (1, 2, "")


def test_a_progress_bar_appears_on_a_terminal_and_not_on_stdout(images: Path) -> None:
    command = [*SERVICE, "predict", "--format", "csv", "--url"]
    environment = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "CI"}}
    terminal, its_end = pty.openpty()
    with scripted(Step(200, answer().body, after_s=0.2)) as slow:
        ended = run(
            [*command, slow.url, images], cwd=ROOT, env=environment | {"TERM": "xterm", "COLUMNS": "80"}, stderr=its_end
        )
    os.close(its_end)
    shown = os.read(terminal, 1_000_000).decode(errors="replace")  # may end within a character
    os.close(terminal)
    assert ended.returncode == 0
    assert re.search(r"analysing.*\d+/24", shown)
    assert len(list(csv.DictReader(io.StringIO(ended.stdout)))) == 24
    assert "\x1b" not in ended.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("kind", ["csv", "table"])
def test_a_full_disk_is_reported(kind: str, image: Path) -> None:
    command = [*SERVICE, "predict", "--format", kind, "--url"]
    with scripted(answer()) as server, Path("/dev/full").open("w") as full:
        ended = run([*command, server.url, image], cwd=ROOT, stdout=full)
    assert (ended.returncode, ended.stderr) == (
        1,
        "xray-service: cannot write the results: No space left on device\n",
    )


# -- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextlib.contextmanager
def encrypted(authority: trustme.CA, *steps: Step) -> Iterator[tuple[str, Scripted]]:
    """A scripted server behind TLS, as localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with scripted(*steps, answer(), tls=context) as server:
        yield server.url.replace("http://127.0.0.1", "https://localhost"), server


def test_a_hospital_s_own_authority_is_trusted_if_it_is_given(
    authority: trustme.CA, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with encrypted(authority) as (url, server):
        named = predict(capsys, url, "--ca-file", tmp_path / "ca.pem", image)
        other_name = predict(capsys, url.replace("localhost", "127.0.0.1"), "--ca-file", tmp_path / "ca.pem", image)
        unknown = predict(capsys, url, image)
    assert (named.code, named.rows[0]["label"]) == (0, "NORMAL")
    assert len(server.predictions) == 1
    for ran, why in ((other_name, "IP address mismatch"), (unknown, "unable to get local issuer certificate")):
        assert (ran.code, ran.err.count("\n")) == (1, 1)
        assert ran.err.startswith("xray-service: no TLS connection to https://")
        assert why in ran.err


def test_a_tls_connection_that_breaks_is_retried(
    authority: trustme.CA, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with encrypted(authority, Step(0), Step(0)) as (url, server):
        ran = predict(capsys, url, "--ca-file", tmp_path / "ca.pem", image)
    assert (ran.code, len(server.predictions)) == (0, 3)


def test_a_connection_closed_during_the_handshake_is_retried(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The third is answered without TLS, which ends the client."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(DEADLINE_S)

        def hang_up() -> None:
            for answer_ in (b"", b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"):
                connection, _ = listening.accept()
                connection.recv(4096)
                connection.sendall(answer_)
                connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        ran = predict(capsys, f"https://127.0.0.1:{listening.getsockname()[1]}", image)
        thread.join()
    assert ran.code == 1
    assert "no TLS connection to" in ran.err


def test_https_to_a_server_without_tls(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(answer()) as plain:
        ran = predict(capsys, plain.url.replace("http:", "https:"), image)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "no TLS connection to" in ran.err
