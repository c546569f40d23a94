#!/bin/sh
# Starts the head of a Ray cluster for `python -m service bulk --engine ray`, on a machine that processes no parts itself:
#     deploy/ray/head.sh ADDRESS          its own address in the network of the cluster
# Then node.sh on the other machines. Needs the extra cluster, with `ray` on the PATH.
set -eu
[ $# = 1 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
. "$(dirname "$0")/common.sh"
# The port of the autoscaler, which is not used here.
export AUTOSCALER_METRIC_PORT=6386
start --head --port 6379 --num-cpus 0 --include-dashboard false
