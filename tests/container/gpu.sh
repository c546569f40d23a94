# The GPU image. Without a GPU: it is built, it reports the missing GPU, and it never falls back to the CPU silently.
draw
for cuda in ${CUDA_VERSIONS:-12 13}; do
  gpu=$image-cuda$cuda
  began=$(seconds)
  check "CUDA $cuda: build" docker build -q --target service-gpu --build-arg CUDA="$cuda" -t "$gpu" .
  echo "      built in $(since "$began"); image $(size "$gpu") MB with its base"
  on_cuda() {
    docker run --rm -i --gpus all --read-only --tmpfs /tmp --cap-drop ALL --entrypoint python3 "$gpu" -m service predict --device cuda --json /dev/stdin <"$scratch/x.jpeg" |
      grep -q '"provider": *"CUDAExecutionProvider"'
  }
  if docker info -f '{{json .Runtimes}}' | grep -q nvidia; then
    check "CUDA $cuda: predicts on CUDA" on_cuda
  else
    echo "skip  CUDA $cuda: predicts on CUDA (no NVIDIA runtime here)"
    fails_to_start() { # the last line is the service's; before it, onnxruntime reports why there is no CUDA
      docker run --rm -e XRAY_DEVICE=cuda -e XRAY_ALLOW_ANONYMOUS=1 "$gpu" >"$scratch/stdout" 2>"$scratch/stderr"
      [ $? = 1 ] && tail -1 "$scratch/stderr" && [ ! -s "$scratch/stdout" ] && tail -1 "$scratch/stderr" | grep -q "does not run on CUDA"
    }
    check "CUDA $cuda: no GPU, XRAY_DEVICE=cuda: does not start, with a clear error" fails_to_start
    show_output
    check "CUDA $cuda: no GPU, auto: runs, and reports the CPU" sh -c 'docker run --rm -i --entrypoint python3 "$0" -m service predict --json /dev/stdin <"$1" | grep -q CPUExecutionProvider' "$gpu" "$scratch/x.jpeg"
    check "CUDA $cuda: the libraries of CUDA and cuDNN load" docker run --rm --entrypoint python3 "$gpu" -c '
import contract, ctypes, pathlib, sys
import onnxruntime
found = sorted(pathlib.Path(sys.prefix).glob("lib/python*/site-packages/nvidia/*/lib/lib*.so.*"))
onnxruntime.preload_dlls()
loaded = open("/proc/self/maps").read()
missing = [name for name in ("libcudart", "libcublas", "libcudnn", "libcufft") if name not in loaded]
sys.exit(str(missing) if missing else 0)'
  fi
done
files+=(-f compose.gpu.yaml)
if ! docker info -f '{{json .Runtimes}}' | grep -q nvidia; then
  check "compose without the NVIDIA runtime: clear error" sh -c '! "$@" >"$0" 2>&1 && grep -qi "could not select device driver" "$0"' \
    "$scratch/stderr" docker compose "${files[@]}" up -d --no-build
  files=(-f docker-compose.yml)
  check "the default still starts" dc up -d
  check "the default becomes healthy" await 60 healthy
fi
