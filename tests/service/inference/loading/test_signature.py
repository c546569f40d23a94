"""With XRAY_MODEL_KEY only bundles that were signed are served, at the start, by reload and by load."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from contract.bundle import GRAPH, MANIFEST, SIGNATURE, read_bundle, sha256
from service.__main__ import DONE, FAILED, WRONG_USE, main
from service.access.keys import add_key, make_key
from tests.bundles import brightness_graph, write_brightness_bundle
from tests.conftest import Connect, MakeService
from tests.problems import assert_problem

Keys = tuple[Path, Path]
SERVE = ["serve", "--device", "cpu", "--port", "0"]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """A private key and its public key."""
    private = tmp_path / "signing.pem"
    assert main(["bundle", "new-key", str(private)]) == DONE
    return private, tmp_path / "signing.pem.pub"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle without a signature."""
    return write_brightness_bundle(tmp_path / "brightness" / "1")


def sign(folder: Path, private: Path) -> None:
    assert main(["bundle", "sign", str(folder), "--key", str(private)]) == DONE


def check(folder: Path, public: Path) -> int:
    return main(["bundle", "check", "--model-key", str(public), str(folder)])


def test_a_signed_bundle_can_be_served(folder: Path, keys: Keys, capsys: pytest.CaptureFixture[str]) -> None:
    private, public = keys
    sign(folder, private)
    assert check(folder, public) == DONE
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "Signed brightness/1.",
        "brightness/1 can be served (signed with the key of XRAY_MODEL_KEY).",
    ]
    assert len((folder / SIGNATURE).read_bytes()) == 64
    assert main(["bundle", "check", str(folder)]) == DONE
    assert "signature not checked" in capsys.readouterr().err


def test_the_private_key_is_for_its_user_alone_and_never_replaced(keys: Keys) -> None:
    private, public = keys
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert b"PRIVATE" not in public.read_bytes()
    before = private.read_bytes()
    assert main(["bundle", "new-key", str(private)]) == FAILED
    assert private.read_bytes() == before


def _unsigned(folder: Path, other: Path) -> None:
    (folder / SIGNATURE).unlink()


def _by_another(folder: Path, other: Path) -> None:
    sign(folder, other)


def _forged(folder: Path, other: Path) -> None:
    """Whoever can write to the folder replaces the graph, and its digest in the manifest."""
    graph = brightness_graph(full=510)
    manifest = (folder / MANIFEST).read_text().replace(read_bundle(folder).manifest.files[GRAPH], sha256(graph))
    (folder / GRAPH).write_bytes(graph)
    (folder / MANIFEST).write_text(manifest)


def _cut(folder: Path, other: Path) -> None:
    (folder / SIGNATURE).write_bytes((folder / SIGNATURE).read_bytes()[:-1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_unsigned, "is missing; XRAY_MODEL_KEY is set"),
        (_by_another, "was not signed with the private key of XRAY_MODEL_KEY"),
        (_forged, "was not signed with the private key of XRAY_MODEL_KEY"),
        (_cut, "was not signed with the private key of XRAY_MODEL_KEY"),
    ],
)
def test_the_service_does_not_start_with_what_was_not_signed(  # noqa: PLR0917
    folder: Path, keys: Keys, tmp_path: Path, capfd: pytest.CaptureFixture[str], change: object, words: str
) -> None:
    private, public = keys
    other = tmp_path / "other.pem"
    main(["bundle", "new-key", str(other)])
    sign(folder, private)
    change(folder, other)  # type: ignore[operator]
    capfd.readouterr()
    for workers in ("1", "2"):
        command = [*SERVE, "--model", str(folder), "--model-key", str(public), "--workers", workers]
        assert main(command) == FAILED
        printed = capfd.readouterr().err
        assert printed.startswith(f"xray-service: {folder / SIGNATURE}: ")
        assert words in printed
        assert printed.count("\n") == 1


@pytest.mark.parametrize("content", [None, b"", b"not PEM", "private", "rsa"])
def test_a_key_that_cannot_be_used_is_a_wrong_setting(
    folder: Path,
    keys: Keys,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    content: bytes | str | None,
) -> None:
    private, _ = keys
    path = tmp_path / "key.pem"
    if content == "rsa":
        from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

        key = generate_private_key(65537, 2048).public_key()
        path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    elif content == "private":
        shutil.copy(private, path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    sign(folder, private)
    capfd.readouterr()
    assert main([*SERVE, "--model", str(folder), "--model-key", str(path)]) == WRONG_USE
    printed = capfd.readouterr().err
    assert printed.startswith("xray-service: XRAY_MODEL_KEY: ")
    assert printed.count("\n") == 1


def test_a_private_key_that_cannot_be_used_signs_nothing(
    folder: Path, keys: Keys, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, public = keys
    for path in (public, tmp_path / "nothing.pem"):
        assert main(["bundle", "sign", str(folder), "--key", str(path)]) == FAILED
        assert capfd.readouterr().err.splitlines()[-1].startswith(f"xray-service: {path}: ")
    assert not (folder / SIGNATURE).exists()


@pytest.mark.usefixtures("untried")
def test_openssl_signs_and_verifies_too(folder: Path, keys: Keys, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    private, public = keys
    files = ["-rawin", "-in", str(folder / MANIFEST)]
    by_openssl = ["openssl", "pkeyutl", "-sign", "-inkey", str(private), *files, "-out", str(folder / SIGNATURE)]
    if subprocess.run(by_openssl, capture_output=True, check=False).returncode:
        pytest.skip("this version of openssl does not sign with Ed25519")
    assert check(folder, public) == DONE
    sign(folder, private)
    verify = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public), *files]
    subprocess.run([*verify, "-sigfile", str(folder / SIGNATURE)], check=True, capture_output=True)
    theirs = tmp_path / "theirs.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(theirs)], check=True)
    sign(folder, theirs)


@pytest.mark.anyio
@pytest.mark.usefixtures("untried")
async def test_a_running_service_loads_only_what_was_signed(
    folder: Path, keys: Keys, tmp_path: Path, make_service: MakeService, connect: Connect
) -> None:
    private, public = keys
    sign(folder, private)
    text, key = make_key("admin", ["admin", "predict"])
    add_key(tmp_path / "keys.json", key)
    settings = {"model": folder.parent, "model_key": public, "keys_file": tmp_path / "keys.json", "model_control": True}
    service = make_service(**settings)
    new = write_brightness_bundle(folder.parent / "2", version="2")
    async with connect(service) as client:
        client.headers["X-API-Key"] = text
        load, reload = "/v2/repository/models/brightness/load", "/model/reload"
        for path, where in ((load, "brightness/2"), (reload, "XRAY_MODEL")):
            refused = await client.post(path)
            problem = assert_problem(refused, 422, "unsound-model", *({"error"} & refused.json().keys()))
            assert problem["detail"].startswith(f"{where}/{SIGNATURE}: is missing; XRAY_MODEL_KEY is set")
        sign(new, private)
        public.rename(public.with_suffix(".gone"))
        refused = await client.post(reload)
        assert assert_problem(refused, 422)["detail"] == "XRAY_MODEL_KEY: No such file or directory"
        public.with_suffix(".gone").rename(public)
        assert (await client.post(reload)).json()["replaced"]


@pytest.mark.usefixtures("untried")
def test_without_a_key_no_signature_is_looked_at(folder: Path) -> None:
    (folder / SIGNATURE).write_bytes(b"no signature")
    assert read_bundle(folder).signature == b"no signature"
    assert main(["bundle", "check", str(folder)]) == DONE
