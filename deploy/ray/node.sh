#!/bin/sh
# Adds this machine to a Ray cluster, to process parts of `python -m service bulk --engine ray`:
#     deploy/ray/node.sh ADDRESS HEAD [OPTIONS]      its own address, the head's, and what `ray start` takes: --num-cpus 4
# It needs the extras cluster and cpu (or gpu) in the version of the head, and the sources, results and the bundle under the
# same paths, or in S3 with the same AWS_* variables.
set -eu
[ $# -ge 2 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
. "$(dirname "$0")/common.sh"
head=$2
shift 2
start --address "$head:6379" "$@"
