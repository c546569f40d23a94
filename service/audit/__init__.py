"""The audit log: who submitted which image, and what was answered. Off by default. Imports the vocabulary,
``telemetry`` and ``inference``.

    recorder (around the call) -> line (one an image) -> writer (shares a write and an fsync) -> chain (files, hashes)

``verify``, ``tail`` and ``command`` read what was written, without a running service. Each line contains the hash of
the line before it, so a change shows. It holds digests of images, never pixels or file names (docs/audit.md).
"""
