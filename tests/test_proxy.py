"""When the proxy tries another replica, asked of nginx: after 503 or without a connection, never after one broke."""

import json
import re
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from tests import ROOT
from tests.programs import needs
from tests.waiting import DEADLINE_S, until

pytestmark = needs("nginx")
ADDRESS_LIMIT = 8
Kind = Literal["answers", "full", "breaks", "down"]
ANSWERS = {
    "answers": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    "full": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfull",
    "deadline": b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlate",
    "breaks": b"",
}


class Replica(socketserver.ThreadingTCPServer):
    """Reads a request and answers, or closes the connection; counts the requests."""

    daemon_threads = True

    def __init__(self, kind: str) -> None:
        self.requests = 0
        self.kind = kind
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


class _Handler(socketserver.StreamRequestHandler):
    server: Replica

    def handle(self) -> None:
        length = 0
        while (line := self.rfile.readline()).strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        self.rfile.read(length)
        self.server.requests += 1
        self.wfile.write(ANSWERS[self.server.kind])


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def configured(folder: Path, ports: list[int], port: int) -> Path:
    """The proxy's configuration for these replicas, without TLS, for an nginx of any version."""
    servers = "".join(f"server 127.0.0.1:{port} max_fails=0;\n" for port in ports)
    text = (ROOT / "deploy/proxy/nginx.conf").read_text()
    text = text.replace("server service:8000 resolve max_fails=0;", servers)
    text = text.replace("listen 8443 ssl;", f"listen 127.0.0.1:{port};").replace("http2 on;", "")
    text = text.replace("listen 127.0.0.1:8081;", f"listen 127.0.0.1:{free_port()};")
    text = re.sub(r"(?m)^ *(ssl_|resolver ).*$", "", text)
    # In this order: the project itself may be below /tmp.
    text = text.replace("/tmp/", f"{folder}/").replace("/etc/xray/", f"{ROOT}/deploy/proxy/")  # noqa: S108
    text = text.replace("access_log /dev/stdout line;", f"access_log {folder}/access.log line;")
    text = text.replace("client_max_body_size 64m;", "client_max_body_size 100k;")
    text = text.replace("limit_conn addresses 512;", f"limit_conn addresses {ADDRESS_LIMIT};")
    path = folder / "nginx.conf"
    path.write_text(text)
    return path


@pytest.fixture
def proxy(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[httpx.Client, list[Replica]]]:
    """A client of a proxy before replicas of these kinds."""
    with ExitStack() as stack:
        replicas, ports = [], []
        for kind in request.param:
            if kind == "down":
                ports.append(free_port())
                continue
            replica = stack.enter_context(Replica(kind))
            threading.Thread(target=replica.serve_forever, daemon=True).start()
            stack.callback(replica.shutdown)
            replicas.append(replica)
            ports.append(replica.port)
        port = free_port()
        command = ["nginx", "-e", "stderr", "-c", str(configured(tmp_path, ports, port)), "-g", "daemon off;"]
        process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        stack.callback(process.terminate)
        await_listening(port, process)
        yield stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}")), replicas


def await_listening(port: int, process: "subprocess.Popen[bytes]") -> None:
    def listens() -> bool:
        assert process.poll() is None, "nginx ended"
        with socket.socket() as asked:
            return asked.connect_ex(("127.0.0.1", port)) == 0

    until(listens)


def post(client: httpx.Client) -> httpx.Response:
    return client.post("/predict", content=b"x" * 5000)


@pytest.mark.parametrize("proxy", [("breaks", "breaks", "breaks")], indirect=True)
def test_a_request_that_breaks_a_connection_reaches_one_replica(proxy: tuple[httpx.Client, list[Replica]]) -> None:
    client, replicas = proxy
    for count in range(1, 4):
        response = post(client)
        assert response.status_code == 502
        assert json.loads(response.text)["type"] == "/problems/replica-failed"
        assert sum(replica.requests for replica in replicas) == count


@pytest.mark.parametrize("proxy", [("full", "full", "answers"), ("down", "down", "answers")], indirect=True)
def test_a_replica_that_is_full_or_down_is_passed_over(proxy: tuple[httpx.Client, list[Replica]]) -> None:
    client, _ = proxy
    assert {post(client).status_code for _ in range(12)} == {200}


@pytest.mark.parametrize("proxy", [("full", "breaks", "breaks")], indirect=True)
def test_so_it_does_after_others_were_full(proxy: tuple[httpx.Client, list[Replica]]) -> None:
    client, (_, *broken) = proxy
    for count in range(1, 7):
        assert post(client).status_code == 502
        assert sum(replica.requests for replica in broken) == count


@pytest.mark.parametrize("proxy", [("full", "down"), ("down", "full", "down")], indirect=True)
def test_full_and_down_replicas_are_no_failure_of_the_request(proxy: tuple[httpx.Client, list[Replica]]) -> None:
    assert {post(proxy[0]).status_code for _ in range(12)} == {503}


@pytest.mark.parametrize("proxy", [("full",), ("deadline",)], indirect=True)
def test_what_all_replicas_answer_is_the_answer(proxy: tuple[httpx.Client, list[Replica]]) -> None:
    client, replicas = proxy
    response = post(client)
    assert response.status_code == (503 if replicas[0].kind == "full" else 504)
    assert replicas[0].requests == (2 if replicas[0].kind == "full" else 1)


@pytest.mark.parametrize("proxy", [("down", "down")], indirect=True)
def test_no_replica_at_all_is_a_problem(proxy: tuple[httpx.Client, list[Replica]]) -> None:
    response = post(proxy[0])
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["type"] == "/problems/not-ready"


def chunks() -> Iterator[bytes]:
    yield from [b"x" * 1000] * 200


@pytest.mark.parametrize("proxy", [("answers",)], indirect=True)
@pytest.mark.parametrize("body", [b"x" * 200_000, chunks], ids=["with its length", "in chunks"])
def test_a_body_that_is_too_large_is_a_problem(proxy: tuple[httpx.Client, list[Replica]], body: Any) -> None:
    response = proxy[0].post("/predict", content=body() if callable(body) else body)
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "/problems/body-too-large"
    assert proxy[1][0].requests == 0


LONG = b"x" * 40_000


@pytest.mark.parametrize("proxy", [("answers",)], indirect=True)
@pytest.mark.parametrize(
    ("sent", "status", "slug"),
    [
        (b"nonsense\r\n\r\n", 400, "bad-request"),
        (b"GET /health HTTP/1.1\r\n\r\n", 400, "bad-request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nLong: " + LONG + b"\r\n\r\n", 400, "bad-request"),
        (b"GET /" + LONG + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri-too-long"),
        (b"GET /proxy-problem/malformed HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not-found"),
    ],
    ids=["not HTTP", "no host", "header", "URI", "not a call"],
)
def test_what_is_not_a_valid_request_is_a_problem(
    sent: bytes, status: int, slug: str, proxy: tuple[httpx.Client, list[Replica]]
) -> None:
    address = proxy[0].base_url
    with socket.create_connection((address.host, address.port or 0), timeout=DEADLINE_S) as connection:
        connection.sendall(sent)
        received = b""
        while b"request_id" not in received and (piece := connection.recv(65536)):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d" % status)
    assert b"application/problem+json" in head
    assert json.loads(body)["type"] == f"/problems/{slug}"
    assert proxy[1][0].requests == 0


@pytest.mark.parametrize("proxy", [("answers",)], indirect=True)
def test_more_connections_than_one_address_may_have_is_a_problem(proxy: tuple[httpx.Client, list[Replica]]) -> None:
    """Nginx counts the connections that have a request in hand."""
    client, _ = proxy

    def one_too_many() -> httpx.Response | None:
        # Opened anew for each try: nginx closes those whose body is late, as they are where the machine pauses.
        with ExitStack() as stack:
            for _ in range(ADDRESS_LIMIT):
                slow = stack.enter_context(socket.create_connection((client.base_url.host, client.base_url.port or 0)))
                slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")
            return found if (found := post(client)).status_code == 429 else None

    response = until(one_too_many)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "1"
    assert response.json()["type"] == "/problems/too-many-connections"


@pytest.mark.parametrize("proxy", [("answers",)], indirect=True)
def test_the_log_has_routes_and_nothing_else_that_a_client_chose(
    proxy: tuple[httpx.Client, list[Replica]], tmp_path: Path
) -> None:
    logged = {
        "/": "/",
        "/render": "/render",
        "/model/card?x=Jane": "/model/card",
        "/page/images/files.js": "/page/...",
        "/page/jane": "/page/...",
        "/problems/jane": "/problems/...",
        "/v2/health/ready": "/v2/health/ready",
        "/v2/models/jane/versions/1/infer": "/v2/.../infer",
        "/v2/jane": "/v2/...",
        "/jane": "other",
    }
    for path in logged:
        proxy[0].get(path, headers={"X-Request-ID": "Jane Doe", "User-Agent": "jane"})
    log = tmp_path / "access.log"
    until(lambda: log.exists() and log.read_text().count("\n") == len(logged))
    assert [json.loads(line)["path"] for line in log.read_text().splitlines()] == list(logged.values())
    assert "jane" not in log.read_text().lower()
