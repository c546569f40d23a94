#!/usr/bin/env bash
# The container, for real: build, up, predict, harden, stop under load, kill. Needs a Docker engine with compose v2 and
# BuildKit, as root (it ends a process of the container by its number). Prints a line a check; exits 1 if any fails.
set -uo pipefail
cd "$(dirname "$0")/.."
image=xray-inference:0.1.0
scratch=$(mktemp -d)
failed=0
trap 'docker compose down --timeout 5 >/dev/null 2>&1; docker rm -f xray-bare >/dev/null 2>&1; rm -rf "$scratch"' EXIT

check() { # NAME COMMAND...
  local name=$1; shift
  if "$@" >"$scratch/out" 2>&1; then echo "ok    $name"; else echo "FAIL  $name"; sed 's/^/      /' "$scratch/out"; failed=1; fi
}
seconds() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(seconds)" 'BEGIN { printf "%.1f s", b - a }'; }
container() { docker compose ps -aq service; }
inspect() { docker inspect -f "$1" "${2:-$(container)}"; }
is() { [ "$(inspect "$1")" = "$2" ] || { echo "$1 is $(inspect "$1"), not $2"; return 1; }; }
has() { case "$(inspect "$1")" in *"$2"*) ;; *) echo "$1 is $(inspect "$1"), without $2"; return 1 ;; esac; }
await() { # SECONDS COMMAND...: until it is true
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done
}
healthy() { [ "$(inspect '{{.State.Health.Status}}')" = healthy ]; }
predicts() { curl -sSf --data-binary "@$scratch/x.jpeg" -H 'Content-Type: image/jpeg' localhost:8000/predict | grep -q '"probability":0\.'; }

began=$(seconds)
check "build" docker compose build
echo "      built in $(since "$began"); image $(docker image inspect -f '{{.Size}}' $image | awk '{ printf "%.0f MB", $1 / 1e6 }') with its base"
began=$(seconds)
check "up" docker compose up -d
check "healthy" await 60 healthy
echo "      up and healthy in $(since "$began")"

docker compose exec -T service python3 -c '
import sys; from PIL import Image
Image.radial_gradient("L").resize((900, 700)).save(sys.stdout.buffer, "JPEG")' >"$scratch/x.jpeg"
check "predict" predicts
check "health names the provider" sh -c 'curl -sf localhost:8000/health | grep -q CPUExecutionProvider'

check "fixed user, not root" is '{{.Config.User}}' 10001:10001
check "read-only root" is '{{.HostConfig.ReadonlyRootfs}}' true
check "nothing can be written" sh -c '! docker compose exec -T service touch /app/x /opt/venv/x /x'
check "tmpfs for /tmp" has '{{.HostConfig.Tmpfs}}' noexec
check "all capabilities dropped" is '{{.HostConfig.CapDrop}}' '[ALL]'
check "no new privileges" is '{{.HostConfig.SecurityOpt}}' '[no-new-privileges:true]'
check "not privileged" is '{{.HostConfig.Privileged}}' false
check "memory limit" is '{{.HostConfig.Memory}}' 1073741824
check "process limit" is '{{.HostConfig.PidsLimit}}' 128
check "to this machine only" has '{{.HostConfig.PortBindings}}' 127.0.0.1
check "stop timeout over the drain" is '{{.Config.StopTimeout}}' 50
check "health check without curl" has '{{.Config.Healthcheck.Test}}' python3
check "exec form" is '{{.Config.Entrypoint}}' '[python3 -m service]'
check "no build tools, no pip" docker compose exec -T service python3 -c '
import importlib.util, shutil, sys
found = [t for t in ("gcc", "cc", "make", "curl", "wget", "git") if shutil.which(t)]
sys.exit(str(found) if found or importlib.util.find_spec("pip") else 0)'

ask_until_gone() {
  while code=$(curl -s -o /dev/null -w '%{http_code}' --data-binary "@$scratch/x.jpeg" -H 'Content-Type: image/jpeg' localhost:8000/predict)
  do echo "$code"; done
}
stop_under_load() {
  docker compose up -d --force-recreate >/dev/null 2>&1 && await 60 healthy || return 1
  for n in 1 2 3 4; do ask_until_gone >"$scratch/codes.$n" & done
  sleep 3
  docker stop "$(container)" >/dev/null
  wait
  cat "$scratch"/codes.* >"$scratch/codes"
  local got seen
  got=$(grep -c 200 "$scratch/codes") seen=$(docker logs "$(container)" 2>&1 | grep -c '"route": "/predict", "status": 200')
  echo "answered $seen, received $got, exit code $(inspect '{{.State.ExitCode}}'), codes $(sort "$scratch/codes" | uniq -c | tr '\n' ' ')"
  [ "$got" -gt 50 ] && [ "$got" = "$seen" ] && ! grep -qvE '200|503' "$scratch/codes" && is '{{.State.ExitCode}}' 0
}
check "docker stop under load loses no accepted request" stop_under_load
sed 's/^/      /' "$scratch/out"

killed_comes_back() {
  docker compose up -d >/dev/null 2>&1 && await 60 healthy || return 1
  kill -9 "$(inspect '{{.State.Pid}}')"
  await 60 is '{{.RestartCount}}' 1 && await 60 predicts
}
check "restarts after kill -9" killed_comes_back
docker compose down --timeout 5 >/dev/null 2>&1

bare() { # the narrowest place it has to start in
  docker run -d --name xray-bare --network none --memory 512m --cpus 1 --pids-limit 64 --read-only --tmpfs /tmp \
    --cap-drop ALL --security-opt no-new-privileges "$image" >/dev/null
  await 60 sh -c '[ "$(docker inspect -f "{{.State.Health.Status}}" xray-bare)" = healthy ]' || return 1
  docker exec xray-bare python3 -c '
import io, json, urllib.request as u; from PIL import Image
body = io.BytesIO(); Image.radial_gradient("L").resize((900, 700)).save(body, "JPEG")
ask = u.Request("http://127.0.0.1:8000/predict", body.getvalue(), {"Content-Type": "image/jpeg"})
print(json.load(u.urlopen(ask))["predictions"][0]["probability"])'
}
check "no network, 512 MB, one CPU, 64 processes, read-only" bare

refuses() { # WORDS ARGUMENTS...: does not start, says why in one line
  local words=$1 code; shift
  docker run --rm "$@" >"$scratch/told" 2>&1; code=$?
  cat "$scratch/told"
  [ $code = 1 ] && [ "$(wc -l <"$scratch/told")" = 1 ] && grep -q "$words" "$scratch/told"
}
check "a missing bundle stops the start with one line" refuses "manifest.json: No such file" -e XRAY_MODEL=/nowhere "$image"
mkdir "$scratch/bundle" && cp models/pneumonia/1/* "$scratch/bundle" && echo >>"$scratch/bundle/model.onnx" && chmod -R a+rX "$scratch"
check "a changed bundle stops the start with one line" refuses "model.onnx: its SHA-256" -v "$scratch/bundle:/m:ro" -e XRAY_MODEL=/m "$image"
exit $failed
