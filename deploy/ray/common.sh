#!/bin/sh
# What head.sh and node.sh share. The ports are listed in docs/bulk.md.
#
# RAY_AUTH_TOKEN_PATH  file with the token that all machines of the cluster have (default /etc/xray/ray-token)
# RAY_TEMP             folder of Ray's logs and sockets; nothing of an image is in it (default /tmp/ray)
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="${RAY_AUTH_TOKEN_PATH:-/etc/xray/ray-token}"
# Ray sends statistics to its vendor by default. With statistics off, the head still reports that they are off, and queries
# the metadata services of public clouds, unless a file in its home prevents both (Ray 2.60; found by tests/cluster.sh).
export RAY_USAGE_STATS_ENABLED=0 RAY_USAGE_STATS_REPORT_URL=http://127.0.0.1:9
export HOME="${RAY_TEMP:-/tmp/ray}/home"
mkdir -p "$HOME"
echo 'provider: {type: local}' >"$HOME/ray_bootstrap_config.yaml"
# When memory is short, the system kills the largest process: the worker, which its actor replaces; an image at which that
# happens twice is left out. Ray would kill the actor instead, and restart the part forever.
export RAY_memory_monitor_refresh_ms=0
[ -s "$RAY_AUTH_TOKEN_PATH" ] || { echo "no token in $RAY_AUTH_TOKEN_PATH: make one with 'openssl rand -hex 32', the same on all machines" >&2; exit 2; }
address=$1

# Only numbers of parts and counts go through the object store.
start() { # OPTIONS...: in the foreground, for systemd or a container
  exec ray start --block --disable-usage-stats --include-log-monitor false --node-ip-address "$address" \
    --node-manager-port 6380 --object-manager-port 6381 --runtime-env-agent-port 6382 \
    --dashboard-agent-grpc-port 6383 --dashboard-agent-listen-port 6384 --metrics-export-port 6385 \
    --min-worker-port 6400 --max-worker-port 6499 --object-store-memory 80000000 --temp-dir "${RAY_TEMP:-/tmp/ray}" "$@"
}
