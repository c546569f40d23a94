# Functions shared by the parts of tests/container.sh, which sources this file.
image=xray-inference:0.1.0
scratch=$(mktemp -d)
chmod 755 "$scratch"
failed=0
files=(-f docker-compose.yml)
export COMPOSE_PROJECT_NAME=xray-check

dc() { docker compose "${files[@]}" "$@"; }
tidy() { # removes everything that a part has started
  dc down --volumes --remove-orphans --timeout 5 >/dev/null 2>&1
  docker rm -f xray-bare >/dev/null 2>&1
  files=(-f docker-compose.yml)
}
trap 'tidy; rm -rf "$scratch"' EXIT

check() { # NAME COMMAND...
  local name=$1; shift
  if "$@" >"$scratch/out" 2>&1; then echo "ok    $name"; else echo "FAIL  $name"; sed 's/^/      /' "$scratch/out"; failed=1; fi
}
show_output() { sed 's/^/      /' "$scratch/out"; } # of the last check
not() { ! "$@"; }
seconds() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(seconds)" 'BEGIN { printf "%.1f s", b - a }'; }
container() { dc ps -aq "${1:-service}" | head -1; }
inspect() { docker inspect -f "$1" "${2:-$(container)}"; }
is() { [ "$(inspect "$1" "${3:-}")" = "$2" ] || { echo "$1 is $(inspect "$1" "${3:-}"), not $2"; return 1; }; }
has() { case "$(inspect "$1" "${3:-}")" in *"$2"*) ;; *) echo "$1 is $(inspect "$1" "${3:-}"), without $2"; return 1 ;; esac; }
positive() { [ "$(inspect "$1" "${2:-}")" -gt 0 ] || { echo "$1 is $(inspect "$1" "${2:-}")"; return 1; }; }
await() { # SECONDS COMMAND...: repeats the command until it succeeds
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done
}
healthy() { [ "$(inspect '{{.State.Health.Status}}' "$(container "${1:-service}")")" = healthy ]; }
all_healthy() { for id in $(dc ps -aq service); do is '{{.State.Health.Status}}' healthy "$id" || return 1; done; }
size() { docker image inspect -f '{{.Size}}' "$1" | awk '{ printf "%.0f", $1 / 1e6 }'; }
ask() { curl -sSk --max-time 20 --data-binary "@$scratch/x.jpeg" -H 'Content-Type: image/jpeg' "$@"; }
predicts() { ask -f "${1:-http://localhost:8000}/predict" | grep -q '"probability":0\.'; }
draw() { # a test image, drawn with the Pillow of the container image
  docker run --rm --entrypoint python3 "$image" -c '
import sys; from PIL import Image
Image.radial_gradient("L").resize((900, 700)).save(sys.stdout.buffer, "JPEG")' >"$scratch/x.jpeg"
}
no_cores() { check "$1: no core dumps" is '{{range .HostConfig.Ulimits}}{{.Name}} {{.Soft}} {{.Hard}}{{end}}' 'core 1 1' "$(container "$1")"; }
hardened() { # SERVICE: one check per rule, on the running container
  local name=$1 of; of=$(container "$1")
  check "$name: a user by number, not root" sh -c 'expr "$0" : "[1-9]" >/dev/null' "$(inspect '{{.Config.User}}' "$of")"
  check "$name: read-only root" is '{{.HostConfig.ReadonlyRootfs}}' true "$of"
  check "$name: all capabilities dropped" is '{{.HostConfig.CapDrop}}' '[ALL]' "$of"
  check "$name: none added" is '{{len .HostConfig.CapAdd}}' 0 "$of"
  check "$name: no new privileges" is '{{.HostConfig.SecurityOpt}}' '[no-new-privileges:true]' "$of"
  check "$name: not privileged" is '{{.HostConfig.Privileged}}' false "$of"
  check "$name: memory limit" positive '{{.HostConfig.Memory}}' "$of"
  check "$name: CPU limit" positive '{{.HostConfig.CpuQuota}}' "$of"
  check "$name: process limit" positive '{{.HostConfig.PidsLimit}}' "$of"
  check "$name: limited log size" has '{{.HostConfig.LogConfig.Config}}' max-size "$of"
  check "$name: health check" positive '{{len .Config.Healthcheck.Test}}' "$of"
  check "$name: restarts after a crash or a reboot" is '{{.HostConfig.RestartPolicy.Name}}' unless-stopped "$of"
}
begin_load() { # CLIENTS URL: each client sends one image after the other; a line for each answer, its status last
  touch "$scratch/go"
  rm -f "$scratch"/answers.*
  for n in $(seq "$1"); do (while [ -e "$scratch/go" ]; do ask -w ' %{http_code}\n' "$2/predict"; done >"$scratch/answers.$n" 2>/dev/null) & done
}
end_load() { # the statuses are then in $scratch/codes
  rm "$scratch/go"; wait
  awk '{ print $NF }' "$scratch"/answers.* >"$scratch/codes" # in a file: with pipefail, grep -q would fail its pipe
  sort "$scratch/codes" | uniq -c
}
