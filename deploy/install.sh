#!/bin/sh
# Used during image builds: installs the packages of a lock file, byte-compiles them, and removes pip and setuptools.
set -eu
/opt/venv/bin/python -m pip --cache-dir /var/cache/pip install --no-compile --no-deps --require-hashes -r "$1"
/opt/venv/bin/python -m pip uninstall --quiet --yes pip setuptools
python3 -m compileall -q -j 0 /opt/venv/lib
