#!/usr/bin/env bash
# The whole check of the service on an NVIDIA GPU, in one call: benchmarks/gpu.py, in an environment made for it.
#
#     benchmarks/gpu.sh [--wheels FOLDER] [--venv FOLDER] [--cuda 12|13] [OPTION of benchmarks/gpu.py]...
#
# Needs an NVIDIA driver, Python 3.11 or newer (PYTHON names it) with its module venv, and this checkout. For HTTP under
# load, wrk; without it that part is left out, and the result says so.
#
#   --wheels FOLDER  install from the wheels there, and from nowhere else. A wheel too large to be carried whole may be
#                    there in parts (`split -b 50M X.whl X.whl.part.`): they are joined.
#   --venv FOLDER    where the environment is, or is made; default: .venv-gpu
#   --cuda 12|13     whose lock file is installed; default: the newest that this driver can do
#
# Prints one JSON, and leaves it in $OUT, or without that in benchmarks/results/. Exits 0 if all that it claims holds,
# 1 if not, and 2 if it could not be checked here.
set -euo pipefail
cd "$(dirname "$0")/.."

stop() { echo "gpu.sh: $1" >&2; exit 2; }

wheels='' venv=.venv-gpu cuda='' others=()
while [ $# -gt 0 ]; do
  case $1 in
    --wheels | --venv | --cuda)
      [ $# -gt 1 ] || stop "$1 needs a value"
      case $1 in --wheels) wheels=$2 ;; --venv) venv=$2 ;; *) cuda=$2 ;; esac
      shift 2 ;;
    *) others+=("$1"); shift ;;
  esac
done

command -v nvidia-smi >/dev/null || stop 'no NVIDIA driver here: there is no nvidia-smi'
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>&1) || stop "no NVIDIA GPU here: nvidia-smi says: ${driver%%$'\n'*}"
# The floors of docs/operations.md.
[ -n "$cuda" ] || cuda=$([ "${driver%%.*}" -ge 580 ] && echo 13 || echo 12)
case $cuda in
  12) lock=requirements/gpu-cuda12.txt ;;
  13) lock=requirements/gpu.txt ;;
  *) stop "--cuda is 12 or 13, not $cuda" ;;
esac

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sources=()
if [ -n "$wheels" ]; then
  [ -d "$wheels" ] || stop "--wheels $wheels: no such folder"
  for first in "$wheels"/*.whl.part.aa; do
    [ -e "$first" ] || continue
    cat "${first%aa}"* >"$scratch/$(basename "${first%.part.aa}")"
  done
  sources=(--no-index --find-links "$wheels" --find-links "$scratch")
fi
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv" || stop "no environment could be made in $venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
  ${sources[@]+"${sources[@]}"} -r "$lock" || stop "$lock could not be installed"

result=${OUT:-benchmarks/results}/$(date -u +%F)-gpu.json
"$venv/bin/python" benchmarks/gpu.py --result "$result" ${others[@]+"${others[@]}"}
