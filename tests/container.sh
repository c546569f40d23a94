#!/usr/bin/env bash
# The containers, for real: built, started, asked, hardened, stopped under load, killed.
#
#     tests/container.sh [PART...]     parts: service keys audit model proxy monitoring offline training gpu; all without one
#
# Needs Docker 25 or newer with BuildKit and compose 2.24.4 or newer, curl, openssl and python3; as root, since it ends a
# process of a container by its number. Images of nginx, Prometheus and Grafana must be there or be fetchable
# (NGINX_IMAGE, PROMETHEUS_IMAGE, GRAFANA_IMAGE name others). Prints a line a check; exits 1 if any fails.
set -uo pipefail
cd "$(dirname "$0")/.."
. tests/container/lib.sh
for part in "${@:-service keys audit model proxy monitoring offline training gpu}"; do
  for name in $part; do
    echo "== $name"
    # shellcheck source=/dev/null
    . "tests/container/$name.sh"
    tidy
  done
done
exit $failed
