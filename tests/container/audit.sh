# The audit log in a volume: verified while the service runs, continued by a new container, one chain per replica.
files+=(-f compose.audit.yaml)
draw
audit() { dc exec -T service python3 -m service audit "$@"; }
chains() { audit verify --json | grep -c '"fault":null'; }
check "up" dc up -d
check "healthy" await 60 healthy
for _ in 1 2 3; do predicts; done
recorded() { [ "$(audit tail --json -n 99 | grep -c '"event":"read"')" = "$1" ]; }
check "three images are recorded" await 10 recorded 3
check "the chain is intact" audit verify
digest_recorded() { audit tail --json -n 1 | grep -q "$(sha256sum "$scratch/x.jpeg" | cut -c1-64)"; }
check "with their digest" digest_recorded
check "verified by a separate container while the service runs" dc run --rm --no-deps service audit verify
check "a new container continues the chain" dc up -d --force-recreate --wait
for _ in 1 2; do predicts; done
check "five images are recorded" await 10 recorded 5
check "in one chain" [ "$(chains)" = 1 ]
altered() { docker exec "$(container)" sed -i 's/NORMAL\|PNEUMONIA/FORGED/' /audit/1/audit-00000001.jsonl; not audit verify; }
check "an altered line is found" altered
files+=(-f compose.proxy.yaml)
export TLS_FOLDER=$scratch/tls-audit
mkdir "$TLS_FOLDER" && deploy/proxy/certificate.sh localhost "$TLS_FOLDER" >/dev/null
dc down --volumes >/dev/null 2>&1
check "with two replicas: up" dc up -d --wait
for _ in 1 2 3 4 5 6 7 8; do predicts https://localhost:8443; done
check "with two replicas: eight images are recorded" await 10 recorded 8
check "with two replicas: in two chains" [ "$(chains)" = 2 ]
unset TLS_FOLDER
