#!/usr/bin/env bash
# Tests of `bulk` with buckets: moto's store of S3 on the loopback, in an environment of its own in build/store.
#
#     tests/store.sh [ARGUMENTS OF PYTEST]
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -x build/store/bin/moto_server ]; then
  echo "Installing an S3 store (moto) into build/store (once)"
  .venv/bin/python -m venv build/store
  build/store/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r requirements/store.txt
fi
exec .venv/bin/python -m pytest tests/service/bulk/test_s3.py "$@"
