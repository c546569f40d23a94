#!/usr/bin/env bash
# Tests of the node with a real PACS: Debian's Orthanc with its DICOMweb plugin, and dcmtk as the modality.
#
#     tests/pacs.sh [ARGUMENTS OF PYTEST]
#
# Needs orthanc, orthanc-dicomweb, orthanc-gdcm and dcmtk, and network namespaces: Orthanc listens on all addresses, so that
# everything runs in a namespace that has the loopback only. Where something is missing, the tests are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PATH:/usr/sbin:/sbin
isolated=(unshare --net)
[ "$(id -u)" = 0 ] || isolated=(unshare --map-root-user --net)
if "${isolated[@]}" true 2>/dev/null && command -v ip >/dev/null; then
  export PACS_ISOLATED=1
  exec "${isolated[@]}" sh -c 'ip link set lo up && exec "$@"' sh .venv/bin/python -m pytest tests/pacs "$@"
fi
exec .venv/bin/python -m pytest tests/pacs "$@"
