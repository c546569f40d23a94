"""The audit log: who submitted which image, and what was answered. Off by default. Imports the vocabulary,
``telemetry`` and ``inference``.

    recorder (around the call) -> line (one per image) -> writer (shares a write and an fsync) -> chain (files, hashes)

``fields`` collects what a line records; ``search`` finds the lines of a request, for ``POST /feedback``. ``verify``,
``tail`` and ``command`` read the files, without a running service. Each line contains the hash of the line before it,
so that an alteration is found. The log holds digests of images, never pixels or file names (docs/audit.md).
"""
