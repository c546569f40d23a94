# Prometheus scrapes the replicas and loads the alerts; Grafana shows the dashboard, if its image is available.
files+=(-f compose.monitoring.yaml)
draw
with=(service prometheus)
grafana=$(dc config --images | grep grafana)
if docker image inspect "$grafana" >/dev/null 2>&1 || docker pull -q "$grafana" >/dev/null 2>&1; then with+=(grafana); else echo "skip  Grafana: its image is not present and cannot be pulled"; fi
check "up" dc up -d "${with[@]}"
for name in "${with[@]}"; do
  check "$name: healthy" await 90 healthy "$name"
  hardened "$name"
done
api() { docker exec "$(container prometheus)" wget -qO- "http://127.0.0.1:9090/api/v1/$1"; }
value() { api "query?query=$1" | grep -q "\"value\":\[[0-9.]*,\"$2\"\]"; } # EXPRESSION NUMBER
quiet() { api rules | grep -q XrayDown && ! api alerts | grep -q firing; }
for _ in 1 2 3 4 5; do predicts; done
check "Prometheus scrapes the service" await 60 value xray_ready 1
check "the predictions are counted" await 60 value "sum(xray_predictions_total)" 5
check "the alerts are loaded and none fires" quiet
check "Prometheus is not published" is '{{len .HostConfig.PortBindings}}' 0 "$(container prometheus)"
check "Prometheus cannot reach other networks" sh -c '! docker exec "$0" wget -q -T 3 -O- http://192.0.2.1' "$(container prometheus)"
if [ "${#with[@]}" = 3 ]; then
  check "Grafana has the dashboard" await 30 sh -c 'curl -sf "http://127.0.0.1:3000/api/search?type=dash-db" | grep -q xray'
  check "Grafana is published to this machine only" has '{{.HostConfig.PortBindings}}' 127.0.0.1 "$(container grafana)"
fi
files+=(-f compose.proxy.yaml)
export TLS_FOLDER=$scratch/tls-monitoring
mkdir "$TLS_FOLDER" && deploy/proxy/certificate.sh localhost "$TLS_FOLDER" >/dev/null
check "with the proxy: up" dc up -d service prometheus proxy
check "with the proxy: both replicas are scraped" await 60 value "sum(xray_ready)" 2
unset TLS_FOLDER
files+=(-f compose.keys.yaml)
dc run --rm --no-deps service keys add prometheus --scope metrics 2>/dev/null | tr -d '\r' >"$scratch/metrics-key"
chmod 644 "$scratch/metrics-key"
nothing_scraped() { [ "$(value_of 'sum(up{job="xray-inference"})')" = 0 ]; }
value_of() { api "query?query=$1" | sed -n 's/.*"value":\[[0-9.]*,"\([^"]*\)"\].*/\1/p'; }
check "with keys: up" dc up -d service prometheus proxy
check "with keys: Prometheus without a key is rejected" await 60 nothing_scraped
export METRICS_KEY_FILE=$scratch/metrics-key
check "with keys: up again" dc up -d service prometheus proxy
check "with keys: with its own key, Prometheus scrapes both replicas" await 60 value "sum(xray_ready)" 2
unset METRICS_KEY_FILE
