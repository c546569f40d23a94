#!/usr/bin/env bash
# The complete check of the service on an NVIDIA GPU in one call: runs benchmarks/gpu.py in an environment of its own.
#
#     benchmarks/gpu.sh [--wheels FOLDER] [--venv FOLDER] [--cuda 12|13] [--dry-run] [OPTION of benchmarks/gpu.py]...
#
# On 16 CPUs it takes less than eight minutes, if the installation takes less than three. Needs an NVIDIA driver, Python 3.11 or newer (set PYTHON to choose one) with its module venv, and this checkout. The
# measurement over HTTP needs wrk; without it that part is skipped, and the result says so.
#
#   --wheels FOLDER  install only from the wheels in this folder. A wheel may be split into parts
#                    (`split -b 50M X.whl X.whl.part.`): they are joined.
#   --venv FOLDER    the environment, created if it does not exist; default: .venv-gpu, in a dry run .venv-dry
#   --cuda 12|13     the CUDA version whose lock file is installed; default: the newest that the driver supports
#   --dry-run        all steps on the CPUs, with requirements/cpu.txt, for about a second each: shows, also where there
#                    is no GPU, that the script is ready
#
# Prints one JSON document, and writes it to $OUT, or to benchmarks/results/ if OUT is not set (that of a dry run is only
# printed then). Exits with 0 if all guarantees hold and all parts ran, 1 if not, and 2 if nothing could be checked on
# this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

. tools/gpu_environment.sh

wheels='' venv='' cuda='' dry='' others=()
while [ $# -gt 0 ]; do
  case $1 in
    --wheels | --venv | --cuda)
      [ $# -gt 1 ] || stop "$1 needs a value"
      case $1 in --wheels) wheels=$2 ;; --venv) venv=$2 ;; *) cuda=$2 ;; esac
      shift 2 ;;
    --dry-run) dry=yes; others+=("$1"); shift ;;
    *) others+=("$1"); shift ;;
  esac
done

if [ -n "$dry" ]; then
  lock=requirements/cpu.txt
else
  need_driver
  # The minimum driver versions of docs/operations.md.
  [ -n "$cuda" ] || cuda=$([ "${driver%%.*}" -ge 580 ] && echo 13 || echo 12)
  case $cuda in
    12) lock=requirements/gpu-cuda12.txt ;;
    13) lock=requirements/gpu.txt ;;
    *) stop "--cuda must be 12 or 13, not $cuda" ;;
  esac
fi
venv=${venv:-${dry:+.venv-dry}}
venv=${venv:-.venv-gpu}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
find_wheels "$wheels" "$scratch"
create_environment "$venv"
install_lock "$venv" "$lock"

folder=${OUT:-${dry:+$scratch}}
result=${folder:-benchmarks/results}/$(date -u +%F)-gpu${dry:+-dry-run}.json
"$venv/bin/python" benchmarks/gpu.py --result "$result" ${others[@]+"${others[@]}"}
