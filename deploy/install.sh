#!/bin/sh
# Used while an image is built: install what a lock file names, byte-compile it, and take away what installed it.
set -eu
/opt/venv/bin/python -m pip --cache-dir /var/cache/pip install --no-compile --no-deps --require-hashes -r "$1"
/opt/venv/bin/python -m pip uninstall --quiet --yes pip setuptools
python3 -m compileall -q -j 0 /opt/venv/lib
