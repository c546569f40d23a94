# The default: the CPU service with the bundled model.
began=$(seconds)
check "build" dc build
echo "      built in $(since "$began"); image $(size "$image") MB with its base"
base=$(docker build -q - <<<"FROM ${PYTHON_IMAGE:-python:3.11-slim}")
check "under 450 MB on top of its base" [ $(($(size "$image") - $(size "$base"))) -lt 450 ]
began=$(seconds)
check "up" dc up -d
check "healthy" await 60 healthy
echo "      up and healthy in $(since "$began"); $(($(size "$image") - $(size "$base"))) MB on top of the base"
draw
check "predict" predicts
check "health names the provider" sh -c 'curl -sf localhost:8000/health | grep -q CPUExecutionProvider'

hardened service
no_cores service
check "fixed user" is '{{.Config.User}}' 10001:10001
check "nothing can be written" sh -c '! docker exec "$0" touch /app/x /opt/venv/x /x' "$(container)"
check "tmpfs for /tmp" has '{{.HostConfig.Tmpfs}}' noexec
check "published to this machine only" has '{{.HostConfig.PortBindings}}' 127.0.0.1
check "stop timeout longer than the drain" is '{{.Config.StopTimeout}}' 50
check "health check without curl" has '{{.Config.Healthcheck.Test}}' python3
check "exec form" is '{{.Config.Entrypoint}}' '[python3 -m service]'
check "labels" has '{{json .Config.Labels}}' '"org.opencontainers.image.version":"0.1.0"'
check "no build tools, no pip" docker exec "$(container)" python3 -c '
import importlib.util, shutil, sys
found = [t for t in ("gcc", "cc", "make", "curl", "wget", "git") if shutil.which(t)]
sys.exit(str(found) if found or importlib.util.find_spec("pip") else 0)'
check "byte-compiled" docker exec "$(container)" python3 -c '
import fastapi, importlib.util, os, service.workers.app, sys
sys.exit(not all(os.path.exists(importlib.util.cache_from_source(m.__file__)) for m in (fastapi, service.workers.app)))'
check "only the required folders" docker exec "$(container)" sh -c '[ "$(ls /app | xargs)" = "contract dicom docs models node service" ]'
echo XRAY_GUARD=refuse >"$scratch/settings"
SETTINGS_FILE=$scratch/settings dc up -d --force-recreate >/dev/null 2>&1; await 60 healthy
check "a setting from a file takes effect" sh -c 'curl -sf localhost:8000/model | grep -q "\"refuse\""'
CPU_PERCENT=50 dc up -d --force-recreate >/dev/null 2>&1
check "half a CPU" is '{{.HostConfig.CpuQuota}}' 50000
check "half a CPU: healthy" await 60 healthy

predict_until_stopped() { while code=$(ask -o /dev/null -w '%{http_code}\n' "$1/predict" 2>/dev/null); do echo "$code"; done; }
stop_under_load() {
  dc up -d --force-recreate >/dev/null 2>&1 && await 60 healthy || return 1
  for n in 1 2 3 4; do predict_until_stopped http://localhost:8000 >"$scratch/codes.$n" & done
  sleep 3
  docker stop "$(container)" >/dev/null
  wait
  cat "$scratch"/codes.* >"$scratch/codes"
  local received answered
  received=$(grep -c 200 "$scratch/codes") answered=$(docker logs "$(container)" 2>&1 | grep -c '"route": "/predict", "status": 200')
  echo "answered $answered, received $received, exit code $(inspect '{{.State.ExitCode}}'), codes $(sort "$scratch/codes" | uniq -c | tr '\n' ' ')"
  [ "$received" -gt 50 ] && [ "$received" = "$answered" ] && ! grep -qvE '200|503' "$scratch/codes" && is '{{.State.ExitCode}}' 0
}
check "docker stop under load loses no accepted request" stop_under_load
show_output

restarted_after_kill() {
  dc up -d >/dev/null 2>&1 && await 60 healthy || return 1
  kill -9 "$(inspect '{{.State.Pid}}')"
  await 60 is '{{.RestartCount}}' 1 && await 60 predicts
}
check "restarts after kill -9" restarted_after_kill

bare() { # the most restricted environment in which it must start
  docker run -d --name xray-bare -e XRAY_ALLOW_ANONYMOUS=1 --network none --memory 512m --cpus 1 --pids-limit 64 --read-only --tmpfs /tmp \
    --cap-drop ALL --security-opt no-new-privileges "$image" >/dev/null
  await 60 sh -c '[ "$(docker inspect -f "{{.State.Health.Status}}" xray-bare)" = healthy ]' || return 1
  docker exec xray-bare python3 -c '
import io, json, urllib.request as u; from PIL import Image
body = io.BytesIO(); Image.radial_gradient("L").resize((900, 700)).save(body, "JPEG")
ask = u.Request("http://127.0.0.1:8000/predict", body.getvalue(), {"Content-Type": "image/jpeg"})
print(json.load(u.urlopen(ask))["predictions"][0]["probability"])'
}
check "no network, 512 MB, one CPU, 64 processes, read-only" bare
without_keys() { not docker run --rm "$image" && grep -q 'XRAY_KEYS_FILE.*XRAY_ALLOW_ANONYMOUS=1' "$scratch/out"; }
check "docker run alone: requires keys or XRAY_ALLOW_ANONYMOUS=1" without_keys
show_output
published_without_keys() {
  PUBLISH_ADDRESS=0.0.0.0 dc up -d --force-recreate >/dev/null 2>&1
  await 20 sh -c 'docker logs "$0" 2>&1 | grep -q "other machines can reach the service at 0.0.0.0"' "$(container)"
}
check "published without keys, it does not start" published_without_keys
