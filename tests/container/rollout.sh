# A new model behind the proxy, as Kubernetes' Deployment rolls it out (deploy/kubernetes): surge, then drain, under load.
# No request may be lost: neither when a replica is added nor when one ends, be it while it has requests in hand.
files+=(-f compose.proxy.yaml)
base=https://localhost:8443
draw
export TLS_FOLDER=$scratch/tls-rollout SETTINGS_FILE=$scratch/settings-rollout REPLICAS=2
mkdir "$TLS_FOLDER" && deploy/proxy/certificate.sh localhost "$TLS_FOLDER" >/dev/null
serves() { echo "XRAY_MODEL=models/pneumonia/$1" >"$SETTINGS_FILE"; } # for containers that are created from now on
serves 1
check "bundle 1: up" dc up -d --wait
answers_by() { ask -f "$base/predict" | grep -q "\"version\":\"$1\""; }
check "bundle 1 answers" answers_by 1

surge() { dc --progress quiet up -d --no-deps --no-recreate --scale service=$((REPLICAS + 1)) service && await 60 all_healthy; }
drain() { # CONTAINER: it gets SIGTERM, answers what it has in hand, and must end by itself
  docker stop "$1" >/dev/null && is '{{.State.ExitCode}}' 0 "$1" && docker rm "$1" >/dev/null
}
roll_out() { # VERSION: every replica is replaced by one that serves this bundle
  serves "$1"
  for old in $(dc ps -q service); do
    surge || return 1
    sleep 3 # the proxy asks for the list of replicas every two seconds; for minReadySeconds and the pause of preStop
    drain "$old" || return 1
  done
}
rolled_out() { # FROM TO, with eight clients
  begin_load 8 "$base"
  sleep 2
  roll_out "$2" || { end_load; return 1; }
  sleep 2
  end_load
  cat "$scratch"/answers.* >"$scratch/all"
  echo "by bundle $1: $(grep -c "\"version\":\"$1\"" "$scratch/all"), by bundle $2: $(grep -c "\"version\":\"$2\"" "$scratch/all")"
  [ "$(grep -c "\"version\":\"$1\"" "$scratch/all")" -gt 20 ] && [ "$(grep -c "\"version\":\"$2\"" "$scratch/all")" -gt 20 ] &&
    not grep -qv '^200$' "$scratch/codes" && [ "$(dc ps -q service | wc -l)" = "$REPLICAS" ] && answers_by "$2"
}
check "from bundle 1 to 2 under load: no request is lost" rolled_out 1 2
show_output
check "and back" rolled_out 2 1
show_output
unset TLS_FOLDER SETTINGS_FILE REPLICAS
