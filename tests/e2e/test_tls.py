"""TLS of the real process: protocol versions, and a certificate that is renewed while it runs."""

import itertools
import logging
import os
import socket
import ssl
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from service.__main__ import WRONG_USE, main
from service.access.tls import CHECK_INTERVAL_S, Certificate
from tests.e2e.server import Server, running
from tests.waiting import DEADLINE_S, until


class Files:
    """The files of a certificate and its key, and the authority that signs them."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        self.authority = trustme.CA()

    def issue(self) -> int:
        """Write a new pair; return the certificate's serial number."""
        issued = self.authority.issue_cert("localhost", "127.0.0.1")
        self._put(self.key, issued.private_key_pem.bytes())
        self._put(self.certificate, issued.cert_chain_pems[0].bytes())
        return serial(ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode()))

    def context(self) -> ssl.SSLContext:
        """The context of a client that trusts only this authority."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    @staticmethod
    def _put(path: Path, content: bytes) -> None:
        path.with_suffix(".new").write_bytes(content)
        path.with_suffix(".new").replace(path)


def serial(certificate: bytes) -> int:
    """The serial number of a certificate in DER."""
    from cryptography import x509  # trustme brings it

    return x509.load_der_x509_certificate(certificate).serial_number


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    found = Files(tmp_path_factory.mktemp("tls"))
    found.issue()
    return found


@pytest.fixture(scope="module")
def server(bundle_folder: Path, files: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    pair = {"tls_certificate": files.certificate, "tls_key": files.key}
    with running(bundle_folder, folder, trusted=files.context(), **pair) as started:
        yield started


def presented(server: Server, files: Files) -> int:
    """The serial number of the certificate that a new connection gets."""
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as plain,
        files.context().wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        certificate = secured.getpeercert(binary_form=True)
    assert certificate
    return serial(certificate)


def await_serial(server: Server, files: Files, wanted: int, meanwhile: Callable[[], object] = lambda: None) -> None:
    def presents_it() -> bool:
        meanwhile()
        return presented(server, files) == wanted

    until(presents_it, lambda: server.log)


def test_it_speaks_tls_1_2_and_newer_and_no_plain_http(server: Server, files: Files) -> None:
    assert server.get("/health").json()["status"] == "ok"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/health", timeout=DEADLINE_S)  # a client that does not know the authority
    old = files.context()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # about the old versions
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        old.wrap_socket(plain, server_hostname="localhost")
    assert b"200" not in server.raw(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")


def test_a_renewed_certificate_is_loaded_and_a_bad_one_is_not(server: Server, files: Files) -> None:
    with server.client() as kept:
        kept.get("/health")
        renewed = files.issue()
        await_serial(server, files, renewed, meanwhile=lambda: kept.get("/health"))  # idle for 5 s, it would be closed
        assert kept.get("/health").status_code == 200  # an open connection continues
    files.certificate.write_text("no certificate")
    server.await_log("cannot use the new TLS certificate")
    assert presented(server, files) == renewed
    await_serial(server, files, files.issue())


def test_a_pair_that_cannot_be_read_for_a_moment_is_loaded_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files, clock = Files(tmp_path), itertools.count(step=CHECK_INTERVAL_S)
    files.issue()
    certificate = Certificate(files.certificate, files.key, clock=lambda: next(clock))
    files.issue()
    with monkeypatch.context() as unreadable:
        unreadable.setattr("ssl.SSLContext.load_cert_chain", lambda *_, **__: (tmp_path / "gone").stat())
        for _ in range(3):
            certificate.reload_if_changed()
    caplog.set_level(logging.INFO)
    certificate.reload_if_changed()
    assert caplog.messages == [
        "cannot use the new TLS certificate: the old one stays in use",
        "TLS certificate reloaded",
    ]


@pytest.mark.parametrize("wrong", ["missing", "another's key", "no PEM", "encrypted", "half"])
def test_a_pair_that_cannot_be_used_stops_the_start_with_one_line(
    wrong: str, tmp_path: Path, bundle_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mine, other = Files(tmp_path), Files(tmp_path)
    other.issue()
    other_key = mine.key.read_bytes()
    mine.issue()
    if wrong == "missing":
        mine.key.unlink()
    elif wrong == "another's key":
        mine.key.write_bytes(other_key)
    elif wrong == "no PEM":
        mine.certificate.write_bytes(os.urandom(64))
    elif wrong == "encrypted":
        mine.key.write_bytes(_encrypted(mine.key.read_bytes()))
    options = ["--tls-certificate", str(mine.certificate)]
    options += [] if wrong == "half" else ["--tls-key", str(mine.key)]
    assert main(["serve", "--model", str(bundle_folder), "--device", "cpu", "--port", "0", *options]) == WRONG_USE
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("xray-service: ")]
    assert len(lines) == 1
    assert "XRAY_TLS_CERTIFICATE" in lines[0]
    assert "XRAY_TLS_KEY" in lines[0]


def _encrypted(key: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization

    loaded = serialization.load_pem_private_key(key, None)
    return loaded.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
