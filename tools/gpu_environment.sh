# What benchmarks/gpu.sh and tools/train_on_gpu.sh share: they source it, and stop with exit code 2 where it fails.

stop() { echo "${0##*/}: $1" >&2; exit 2; }

# Sets driver to the version of NVIDIA's driver.
need_driver() {
  command -v nvidia-smi >/dev/null || stop 'no NVIDIA driver: nvidia-smi is not installed'
  driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>&1) || stop "no NVIDIA GPU: nvidia-smi reports: ${driver%%$'\n'*}"
}

# Sets sources to pip's options for installing only from the wheels in folder $1; wheels in parts are joined in folder $2.
# Without $1: none.
find_wheels() {
  sources=()
  [ -n "$1" ] || return 0
  [ -d "$1" ] || stop "--wheels $1: no such folder"
  for first in "$1"/*.whl.part.aa; do
    [ -e "$first" ] || continue
    cat "${first%aa}"* >"$2/$(basename "${first%.part.aa}")"
  done
  sources=(--no-index --find-links "$1" --find-links "$2")
}

# Creates the environment $1, if it does not exist; what follows are options of venv.
create_environment() {
  [ -x "$1/bin/python" ] || "${PYTHON:-python3}" -m venv "${@:2}" "$1" || stop "cannot create an environment in $1"
}

# Installs into the environment $1 what the lock file $2 names.
install_lock() {
  "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
    ${sources[@]+"${sources[@]}"} -r "$2" || stop "cannot install $2"
}
