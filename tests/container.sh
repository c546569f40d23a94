#!/usr/bin/env bash
# Tests of the real containers: build, start, predictions, hardening, stop under load, kill.
#
#     tests/container.sh [PART...]     parts: service keys audit model node proxy rollout monitoring offline training gpu; default: all
#
# Needs Docker 25 or newer with BuildKit and compose 2.24.4 or newer, curl, openssl and python3; and root, because it
# kills processes of containers by their id. Images of nginx, Prometheus and Grafana must be present or pullable
# (NGINX_IMAGE, PROMETHEUS_IMAGE, GRAFANA_IMAGE name others). Prints one line per check; exits with 1 if any fails.
set -uo pipefail
cd "$(dirname "$0")/.."
. tests/container/lib.sh
for part in "${@:-service keys audit model node proxy rollout monitoring offline training gpu}"; do
  for name in $part; do
    echo "== $name"
    # shellcheck source=/dev/null
    . "tests/container/$name.sh"
    tidy
  done
done
exit $failed
