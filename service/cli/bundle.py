"""``python -m service bundle check | sign | new-key``."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from service.settings import Settings

if TYPE_CHECKING:
    from service.inference.backend import Backend


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    bundle = commands.add_parser(
        "bundle",
        help="check and sign model bundles",
        description="Check and sign model bundles before they are served.",
    )
    actions = bundle.add_subparsers(dest="action", required=True, metavar="{check,sign,new-key}")
    check = actions.add_parser(
        "check",
        help="check a bundle",
        description="Check a bundle as the service does before it serves it: digests, graph, signature (if "
        "XRAY_MODEL_KEY is set), and what it takes. Exit code 0: it can be served.",
    )
    check.add_argument("--model-key", metavar="FILE", help="public key to use instead of XRAY_MODEL_KEY")
    sign = actions.add_parser("sign", help="sign a bundle", description="Write the signature of a bundle into it.")
    sign.add_argument("--key", type=Path, required=True, metavar="FILE", help="PEM file of an Ed25519 private key")
    for action in (check, sign):
        action.add_argument("folder", type=Path, metavar="FOLDER", help="the bundle, or the folder of its versions")
    new = actions.add_parser(
        "new-key",
        help="make a pair of keys",
        description="Write a new private key to FILE, and its public key to FILE.pub, which is for XRAY_MODEL_KEY.",
    )
    new.add_argument("file", type=Path, metavar="FILE", help="the private key; it must not exist")


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Run the command. Messages go to stderr.

    Raises:
        BundleError, SettingsError: the bundle cannot be served or signed, or a key cannot be used.
    """
    # Imported late: it imports onnxruntime and cryptography, which --help does not need.
    from contract.bundle import find_bundle
    from service.inference.loading.bundles import key_of, read_main
    from service.inference.loading.graphs import open_backend, try_bundle
    from service.inference.loading.signature import new_key, sign

    if arguments.action == "new-key":
        public = new_key(arguments.file)
        print(f"Wrote the private key {arguments.file}: keep it away from the service.", file=sys.stderr)
        print(f"Wrote the public key {public}: set XRAY_MODEL_KEY to it.", file=sys.stderr)
        return
    if arguments.action == "sign":
        signed = sign(find_bundle(arguments.folder), arguments.key)
        print(f"Signed {'/'.join(key_of(signed))}.", file=sys.stderr)
        return
    bundle = read_main(settings.model_copy(update={"model": arguments.folder}))
    asyncio.run(try_bundle(settings, bundle))
    _check_outputs(open_backend(settings.model_copy(update={"device": "cpu"}), bundle, tried=True))
    signature = "signed with the key of XRAY_MODEL_KEY" if settings.model_key else "signature not checked"
    print(f"{'/'.join(key_of(bundle))} can be served ({signature}).", file=sys.stderr)


def _check_outputs(backend: "Backend") -> None:
    """Check that the outputs for a blank image are what the service accepts.

    Raises:
        BundleError: they are not.
    """
    import numpy as np

    from contract.bundle import HEATMAP, PROBABILITY, BundleError
    from contract.image import SIDE

    found = backend.predict(np.zeros((1, SIDE, SIDE, 1), np.uint8), explain=True)
    try:
        found.check(1)
    except ValueError as error:
        raise BundleError(f"{backend.graph}: {error}") from None
    for name, values in ((PROBABILITY, found.probability), (HEATMAP, found.heatmap)):
        if values is None or not ((values >= 0) & (values <= 1)).all():  # NaN is neither
            raise BundleError(f"{backend.graph}: its {name} of a blank image is not within 0..1")
