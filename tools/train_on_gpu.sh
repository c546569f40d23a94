#!/usr/bin/env bash
# Trains on an NVIDIA GPU, in one call and without internet: from the weights of ImageNet, then with borders exchanged and
# evidence kept to the lungs, as models/pneumonia/7 was trained, but longer.
#
#     tools/train_on_gpu.sh --data PATH [--data PATH]... [--out FOLDER] [--minutes N] [--wheels FOLDER] [--venv FOLDER]
#                           [--own-packages] [--dry-run] [-- OPTION of `training train`...]
#
#   --data PATH      an archive of `python -m training pack` (name each of them), or what `training train --data` takes
#   --out FOLDER     for the two runs, first/ and second/, and for first.tar and second.tar, what `training export` needs
#                    of them; default: runs/gpu
#   --minutes N      stop after so many minutes; default: 10. The same call again continues after the last finished epoch
#   --wheels FOLDER  install only from the wheels in this folder. A wheel may be split into parts
#                    (`split -b 50M X.whl X.whl.part.`): they are joined
#   --venv FOLDER    the environment, created if it does not exist, or with --own-packages a folder for what is in
#                    --wheels; default: .venv-gpu-training
#   --own-packages   use the packages that $PYTHON has, JAX for CUDA among them, and before them what is in --wheels
#   --dry-run        one epoch of each run, on whatever there is, with requirements/training.txt
#
# Options after -- are for both runs, and override theirs. The packages are those of requirements/training-gpu.txt: where
# there is internet, `pip download -r requirements/training-gpu.txt -d wheels` gets them. Needs an NVIDIA driver of 580 or
# newer, and Python 3.11 or newer (set PYTHON to choose one) with its module venv. A run becomes a bundle on any machine:
# docs/training.md. Exits with 0 if both runs are complete, 1 if not, and 2 if nothing could be begun.
set -euo pipefail
called_from=$PWD
cd "$(dirname "$0")/.."
. tools/gpu_environment.sh

absolute() { case $1 in /*) echo "$1" ;; *) echo "$called_from/$1" ;; esac; }

data=() out=$PWD/runs/gpu minutes=10 wheels='' venv=$PWD/.venv-gpu-training own='' dry='' options=()
while [ $# -gt 0 ]; do
  case $1 in
    --data | --out | --minutes | --wheels | --venv)
      [ $# -gt 1 ] || stop "$1 needs a value"
      case $1 in
        --data) data+=("$(absolute "$2")") ;;
        --out) out=$(absolute "$2") ;;
        --minutes) minutes=$2 ;;
        --wheels) wheels=$(absolute "$2") ;;
        --venv) venv=$(absolute "$2") ;;
      esac
      shift 2 ;;
    --own-packages) own=yes; shift ;;
    --dry-run) dry=yes; shift ;;
    --) shift; options=("$@"); break ;;
    *) stop "unknown option $1" ;;
  esac
done
[ "${#data[@]}" -gt 0 ] || stop '--data is missing'
for path in "${data[@]}"; do [ -e "$path" ] || stop "--data $path: no such file or folder"; done
[[ $minutes =~ ^[1-9][0-9]*$ ]] || stop "--minutes must be a whole number, not $minutes"
ends=$((SECONDS + 60 * minutes))
[ -n "$dry" ] || need_driver

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
find_wheels "$wheels" "$scratch"
if [ -n "$own" ]; then
  python=${PYTHON:-python3}
  export PYTHONPATH=$venv
  for wheel in ${wheels:+"$wheels"/*.whl "$scratch"/*.whl}; do
    [ ! -e "$wheel" ] || "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-index --upgrade \
      --target "$venv" "$wheel" || stop "cannot install $wheel"
  done
else
  python=$venv/bin/python
  create_environment "$venv"
  install_lock "$venv" "requirements/$([ -n "$dry" ] && echo training || echo training-gpu).txt"
fi
if [ -z "$dry" ]; then
  export KERAS_BACKEND=jax
  "$python" -c 'import jax; jax.devices("gpu")' 2>/dev/null || stop 'JAX finds no GPU'
fi

mkdir -p "$out"
root=${data[0]}
if [[ $root == *.tar ]]; then
  mkdir "$scratch/data"
  for part in "${data[@]}"; do tar -xf "$part" -C "$scratch/data" || stop "cannot unpack $part"; done
  root=$scratch/data
  [ ! -e "$root/sources.json" ] || root=$root/sources.json
fi

# Trains run $1, or what is left of it, and keeps it in an archive; the other arguments are the options of a new run.
# Fails if the run is not complete.
train() {
  local name=$1 folder=$out/$1 run=() without=() code=0
  [ ! -e "$folder/evaluation.json" ] || return 0
  if [ -e "$folder/history.json" ]; then
    run=(--resume "$folder")
  else
    [ ! -e "$folder/config.json" ] || rm -r "$folder" # stopped before its first epoch was done
    run=(--out "$folder" "${@:2}" ${dry:+--epochs 1 --average-epochs 1} ${options[@]+"${options[@]}"})
  fi
  [ "$SECONDS" -lt "$ends" ] || return 1
  timeout --signal=INT --kill-after=30 $((ends - SECONDS)) \
    "$python" -m training train --data "$root" --cache "$out/pixels" "${run[@]}" || code=1
  # The checkpoints are for what is not complete.
  [ "$code" -ne 0 ] || without=(--exclude "$name/epoch-*.keras")
  [ ! -e "$folder" ] || tar -cf "$out/$name.tar" -C "$out" ${without[@]+"${without[@]}"} "$name"
  return "$code"
}

train first --recipe pretrained --epochs 40 &&
  train second --recipe pretrained --start "$out/first" --epochs 60 --learning-rate 3e-4 --average-epochs 10 \
    --lungs 0.05 --exchanged 0.6 ||
  { echo "${0##*/}: not complete; the same call continues after the last finished epoch" >&2; exit 1; }
