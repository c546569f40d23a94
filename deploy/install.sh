#!/bin/sh
# Used during image builds: installs the packages of lock files, byte-compiles them, and removes pip and setuptools.
set -eu
for lock in "$@"; do
  /opt/venv/bin/python -m pip --cache-dir /var/cache/pip install --no-compile --no-deps --require-hashes -r "$lock"
done
/opt/venv/bin/python -m pip uninstall --quiet --yes pip setuptools
python3 -m compileall -q -j 0 /opt/venv/lib
