"""Certificates of a node and its peers, and their renewal."""

from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization


def write_files(authority: trustme.CA, folder: Path) -> dict[str, Path]:
    """Write or replace a certificate for 127.0.0.1, its key and the authority; gives their paths, by names."""
    issued = authority.issue_cert("127.0.0.1")
    paths = {name: folder / f"{name}.pem" for name in ("certificate", "key", "ca_file")}
    issued.cert_chain_pems[0].write_to_path(paths["certificate"])
    issued.private_key_pem.write_to_path(paths["key"])
    authority.cert_pem.write_to_path(paths["ca_file"])
    return paths


def encrypt(key: Path) -> None:
    """Protect a private key with a passphrase."""
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    form, algorithm = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    key.write_bytes(loaded.private_bytes(serialization.Encoding.PEM, form, algorithm))
