#!/usr/bin/env bash
# Tests of bulk runs on a Ray cluster: a head and two nodes, each in a network namespace, with no way out.
#
#     tests/cluster.sh [ARGUMENTS OF PYTEST]
#
# Needs root, ip (iproute2), nft (nftables) and Linux's namespaces; otherwise the tests are skipped. All that is started is
# in a process namespace, and ends with it. The service with Ray alone is installed in build/cluster, as on a node
# (CLUSTER_PYTHON names the Python of another environment).
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PATH:/usr/sbin:/sbin
isolated=(unshare --net --mount --pid --fork --kill-child --mount-proc)
own_machines='mkdir -p /run/netns && mount -t tmpfs none /run/netns && mkdir -p /tmp/ray && mount -t tmpfs none /tmp/ray && ip link set lo up'
possible="$own_machines && ip netns add probe && nft list tables"
if ! { command -v ip && command -v nft && "${isolated[@]}" sh -c "$possible"; } >/dev/null 2>&1; then
  env -u CLUSTER_PYTHON .venv/bin/python -m pytest tests/cluster "$@"  # skips all, and says so
  exit
fi

if [ -z "${CLUSTER_PYTHON-}" ]; then
  CLUSTER_PYTHON=$PWD/build/cluster/bin/python
  locks=(requirements/cpu.txt requirements/cluster.txt)
  if [ "$(cat "${locks[@]}" | cksum)" != "$(cat build/cluster/.installed 2>/dev/null)" ]; then
    echo "Installing the service with Ray into build/cluster (once; about 1 GB)"
    .venv/bin/python -m venv --clear build/cluster
    # Compiled: Ray's processes start again and again, and give up if it takes 15 s.
    for lock in "${locks[@]}"; do
      "$CLUSTER_PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$lock"
    done
    cat "${locks[@]}" | cksum >build/cluster/.installed
  fi
fi
export CLUSTER_PYTHON
exec "${isolated[@]}" sh -c "$own_machines && exec \"\$@\"" sh .venv/bin/python -m pytest tests/cluster "$@"
