"""Clients as their users have them: each is the real program, skipped where it is not installed."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.access.keys import add_key, make_key
from tests.commands import run
from tests.drawings import jpeg
from tests.e2e.server import Server, running
from tests.programs import unusable
from tests.waiting import until

FOLDER = Path(__file__).parent / "clients"
TIMES = 60
LARGE_BYTES = 20_000_000
LIMIT_BYTES = 4_000_000


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A key that the server knows."""
    text, record = make_key("ward-3", ["predict"])
    add_key(key_file(tmp_path_factory), record)
    return text


def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "clients-keys.json"


@pytest.fixture(scope="module")
def server(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory, key: str) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    keys = key_file(tmp_path_factory)
    with running(bundle_folder, folder, max_body_bytes=LIMIT_BYTES, keys_file=keys, log_level="debug") as server:
        yield server


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A radiograph, and a file that is over the limit."""
    folder = tmp_path_factory.mktemp("files")
    found = {"small": folder / "xray.jpeg", "large": folder / "large.jpeg"}
    found["small"].write_bytes(jpeg())
    found["large"].write_bytes(jpeg() + bytes(LARGE_BYTES))
    return found


def program(name: str) -> str:
    if reason := unusable((name,)):
        pytest.skip(reason)
    return name


def output(*command: object) -> list[str]:
    ended = run(command)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split("\n")[:-1]


@pytest.fixture(params=["java", "node"])
def poster(request: pytest.FixtureRequest) -> list[str]:
    """A program that takes URL, file, number of times and perhaps a key."""
    return [program(request.param), str(FOLDER / {"java": "Post.java", "node": "post.mjs"}[request.param])]


@pytest.mark.parametrize(
    ("file", "with_key", "status"), [("small", True, 200), ("large", True, 413), ("large", False, 401)]
)
def test_every_answer_arrives(
    *, server: Server, files: dict[str, Path], key: str, poster: list[str], file: str, with_key: bool, status: int
) -> None:
    keys = [key] if with_key else []
    assert output(*poster, f"{server.url}/predict", files[file], TIMES, *keys) == [str(status)] * TIMES


@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"])
@pytest.mark.parametrize(("file", "status"), [("small", "200"), ("large", "413")])
def test_curl_that_would_like_http_2(
    *, server: Server, files: dict[str, Path], key: str, expect: str, file: str, status: str
) -> None:
    curl = program("curl")
    if "HTTP2" not in output(curl, "--version")[3].split():
        pytest.skip("this curl has no HTTP/2")
    headers = ["-H", f"Authorization: Bearer {key}", "-H", "Content-Type: image/jpeg", "-H", expect]
    body = ["--data-binary", f"@{files[file]}"]
    quiet = ["-s", "-o", "/dev/null", "-w", "%{http_code}\n"]
    assert output(curl, "--http2", *quiet, *headers, *body, f"{server.url}/predict") == [status]


@pytest.mark.parametrize("path", ["/", "/health", "/docs"])
def test_wget_spider(server: Server, path: str) -> None:
    answer = subprocess.run(
        [program("wget"), "--spider", "--tries=1", f"{server.url}{path}"], check=False, capture_output=True
    )
    assert answer.returncode == 0, answer.stderr


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


HAPROXY = """
defaults
  mode http
  timeout connect 300s
  timeout client 300s
  timeout server 300s
  timeout check 300s
  {check}
frontend front
  bind 127.0.0.1:{port}
  default_backend back
backend back
  server one 127.0.0.1:{service} check inter 100ms
"""


def checks(server: Server) -> int:
    """The requests that a health check may have sent."""
    return sum(line.get("route") in {"/", "/health"} for line in server.log_lines)


@pytest.mark.parametrize("check", ["option httpchk", "option httpchk HEAD /health"])
def test_behind_haproxy_with_its_default_check(
    server: Server, files: dict[str, Path], key: str, tmp_path: Path, check: str
) -> None:
    port, before = unused_port(), checks(server)
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(HAPROXY.format(check=check, port=port, service=server.port))
    with subprocess.Popen([program("haproxy"), "-f", configuration], stderr=subprocess.PIPE) as proxy:
        try:
            # Three failed checks would take the server out.
            until(lambda: checks(server) >= before + 5, lambda: server.log)
            headers = ["-H", f"Authorization: Bearer {key}", "-H", "Content-Type: image/jpeg"]
            body = ["--data-binary", f"@{files['small']}", f"http://127.0.0.1:{port}/predict"]
            assert output(program("curl"), "-s", "-o", "/dev/null", "-w", "%{http_code}\n", *headers, *body) == ["200"]
        finally:
            proxy.kill()
