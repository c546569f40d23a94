"""The optional signature of a bundle: Ed25519 (RFC 8032) over the bytes of its manifest, which has the digests of all
other files. The signature is beside it, in ``manifest.json.sig``, 64 bytes as OpenSSL writes them.

Keys are PEM files as OpenSSL reads and writes them, so that the owner of a private key needs no software of this
project:

    openssl genpkey -algorithm ed25519 -out private.pem && openssl pkey -in private.pem -pubout -out public.pem
    openssl pkeyutl -sign -rawin -inkey private.pem -in manifest.json -out manifest.json.sig
"""

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from contract.bundle import MANIFEST, SIGNATURE, Bundle, BundleError, read_bundle
from contract.io.files import write_file
from service.settings import SettingsError


def check_signature(folder: Path, bundle: Bundle, public_key: Path) -> None:
    """Check that a bundle was signed by a key.

    Args:
        folder: of the bundle, for errors.
        bundle: as it was read.
        public_key: PEM file.

    Raises:
        BundleError: it has no signature, or another one.
        SettingsError: the key cannot be used.
    """
    key = _read_public(public_key)
    if bundle.signature is None:
        raise BundleError(f"{folder / SIGNATURE}: is missing; XRAY_MODEL_KEY is set, so only signed bundles are served")
    try:
        key.verify(bundle.signature, bundle.manifest_bytes)
    except InvalidSignature:
        raise BundleError(
            f"{folder / SIGNATURE}: {MANIFEST} was not signed with the private key of XRAY_MODEL_KEY, or has changed "
            "since"
        ) from None


def sign(folder: Path, private_key: Path) -> Bundle:
    """Sign a bundle, in place of an earlier signature. Returns the bundle.

    Raises:
        BundleError: the bundle is not sound, the key cannot be used, or the folder cannot be written to.
    """
    bundle, path = read_bundle(folder), folder / SIGNATURE
    signature = _read_private(private_key).sign(bundle.manifest_bytes)
    try:
        write_file(path, signature)
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from None
    return bundle


def new_key(private_key: Path) -> Path:
    """Write a new private key, which only the user may read, and its public key beside it. Returns the latter's path.

    Raises:
        BundleError: one of the files exists, or cannot be written.
    """
    key, public_key = Ed25519PrivateKey.generate(), private_key.with_name(f"{private_key.name}.pub")
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    try:
        for path, content, mode in ((private_key, private, 0o600), (public_key, public, 0o644)):
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
    except OSError as error:
        raise BundleError(f"{error.filename}: {error.strerror}") from None
    return public_key


def _read_public(path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"XRAY_MODEL_KEY: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise SettingsError("XRAY_MODEL_KEY: not a PEM file with the public key of an Ed25519 pair")
    return key


def _read_private(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from None
    except TypeError:
        raise BundleError(f"{path}: the key is encrypted; sign with openssl pkeyutl instead") from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError(f"{path}: not a PEM file with the private key of an Ed25519 pair")
    return key
