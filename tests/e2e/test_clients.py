"""Clients as their users have them: each is the real program, skipped where it is not installed."""

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.access.keys import add_key, make_key
from tests.commands import run
from tests.drawings import jpeg
from tests.e2e.server import Server, running
from tests.programs import unusable
from tests.waiting import DEADLINE_S, until

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
    with running(
        bundle_folder,
        folder,
        max_body_bytes=LIMIT_BYTES,
        keys_file=keys,
        log_level="debug",
        trusted_proxies="127.0.0.1",
    ) as server:
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
    # It ends before code that is compiled with more effort pays off.
    options = {"java": ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", str(FOLDER / "Post.java")]}
    return [program(request.param), *options.get(request.param, [str(FOLDER / "post.mjs")])]


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


@contextmanager
def proxied(command: Sequence[object], port: int) -> Iterator[str]:
    """The address of a proxy that runs for as long as the context lasts."""
    with subprocess.Popen([str(each) for each in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as proxy:
        try:
            until(lambda: accepts(port))
            yield f"http://127.0.0.1:{port}"
        finally:
            proxy.kill()


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


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
    port, before, configuration = unused_port(), checks(server), tmp_path / "haproxy.cfg"
    configuration.write_text(HAPROXY.format(check=check, port=port, service=server.port))
    with proxied([program("haproxy"), "-f", configuration], port) as url:
        # Three failed checks would take the server out.
        until(lambda: checks(server) >= before + 5, lambda: server.log)
        assert statuses(url, files["small"], key) == [200] * 5


NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ }}
http {{
  access_log off;
  client_max_body_size 100m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/unused;
  uwsgi_temp_path {folder}/unused;
  scgi_temp_path {folder}/unused;
  upstream service {{ server 127.0.0.1:{service}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location /xray/ {{
      proxy_pass http://service/;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-Prefix /xray;
    }}
  }}
}}
"""
CADDY = """
{{
  admin off
  auto_https off
}}
http://127.0.0.1:{port} {{
  handle_path /xray/* {{
    reverse_proxy 127.0.0.1:{service} {{
      header_up X-Forwarded-Prefix /xray
    }}
  }}
}}
"""


@pytest.mark.parametrize("name", ["nginx", "caddy"])
def test_under_a_path_prefix_behind(
    server: Server, files: dict[str, Path], key: str, tmp_path: Path, name: str
) -> None:
    port, configuration = unused_port(), tmp_path / "configuration"
    text = {"nginx": NGINX, "caddy": CADDY}[name]
    configuration.write_text(text.format(port=port, service=server.port, folder=tmp_path))
    arguments = {
        "nginx": ["-e", "stderr", "-c", configuration],
        "caddy": ["run", "--adapter", "caddyfile", "--config", configuration],
    }
    with proxied([program(name), *arguments[name]], port) as url:
        assert statuses(f"{url}/xray", files["small"], key) == [200] * 5
        assert statuses(f"{url}/xray", files["large"], key) == [413] * 5
        assert statuses(f"{url}/xray", files["large"], None) == [401] * 5
        assert "'/xray/openapi.json'" in httpx.get(f"{url}/xray/docs").text
        assert httpx.get(f"{url}/xray/openapi.json").json()["servers"] == [{"url": "/xray"}]


def statuses(url: str, file: Path, key: str | None) -> list[int]:
    """Of five predictions of one client."""
    headers = {"Content-Type": "image/jpeg"} | ({"X-API-Key": key} if key else {})
    with httpx.Client(timeout=DEADLINE_S) as client:
        return [client.post(f"{url}/predict", content=file.read_bytes(), headers=headers).status_code for _ in range(5)]


def test_perf_analyzer(server: Server, key: str, tmp_path: Path) -> None:
    """Triton's load generator, which older wheels of tritonclient have."""
    pixels = tmp_path / "pixels.json"
    pixels.write_text(json.dumps({"data": [{"image": {"content": [51] * 40_000, "shape": [200, 200, 1]}}]}))
    request = ["-m", "brightness", "-u", f"127.0.0.1:{server.port}", "-H", f"X-API-Key: {key}", "--input-data", pixels]
    measured = output(program("perf_analyzer"), *request, "-p", 300, "-s", 1000)
    assert any("Throughput:" in line for line in measured), measured
    assert any("Successful request count:" in line for line in measured), measured
