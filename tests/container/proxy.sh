# TLS, deadlines, and two replicas behind one address.
files+=(-f compose.proxy.yaml)
base=https://localhost:8443
draw
export TLS_FOLDER=$scratch/tls
mkdir "$TLS_FOLDER"
check "self-signed certificate" deploy/proxy/certificate.sh localhost "$TLS_FOLDER"
began=$(seconds)
check "up" dc up -d
check "healthy" await 60 healthy proxy
echo "      two replicas and the proxy, up and healthy in $(since "$began")"
check "two replicas" sh -c '[ "$(docker ps -q --filter label=com.docker.compose.project="$0" --filter label=com.docker.compose.service=service | wc -l)" = 2 ]' "$COMPOSE_PROJECT_NAME"
check "predict over TLS" predicts "$base"
check "the certificate is accepted" curl -sf --cacert "$TLS_FOLDER/tls.crt" "$base/health/ready" -o /dev/null
check "nothing older than TLS 1.2" sh -c '! curl -sk --tls-max 1.1 "$0/health" -o /dev/null' "$base"
hardened proxy
hardened service
no_cores proxy
no_cores service
check "the service itself is not published" is '{{len .HostConfig.PortBindings}}' 0
check "the service cannot reach other networks" docker exec "$(container)" python3 -c '
import socket, sys
try: socket.create_connection(("192.0.2.1", 80), 3)
except OSError as error: print(error); sys.exit(0 if "unreachable" in str(error) else 1)
sys.exit(1)'
show_output
check "nginx's own configuration test" docker exec "$(container proxy)" nginx -t -e stderr -c /etc/xray/nginx.conf

both_answer() {
  for _ in $(seq 20); do predicts "$base" || return 1; done
  for id in $(dc ps -q service); do docker logs "$id" 2>&1 | grep -c '"route": "/predict", "status": 200' | tee /dev/stderr | grep -qv '^0$' || return 1; done
}
check "both replicas answer" both_answer
problem() { # STATUS SLUG CURL-ARGUMENTS...: the response is this problem object
  local status=$1 slug=$2; shift 2
  curl -sk --max-time 20 -D "$scratch/head" -o "$scratch/body" "$@"
  cat "$scratch/head" "$scratch/body"
  grep -qi "content-type: application/problem+json" "$scratch/head" && grep -q " $status" "$scratch/head" &&
    python3 -c 'import json, sys; body = json.load(open(sys.argv[1])); sys.exit(body["type"] != "/problems/" + sys.argv[2] or body["status"] != int(sys.argv[3]))' "$scratch/body" "$slug" "$status"
}
head -c 70000000 /dev/zero >"$scratch/large"
check "a body that is too large: 413" problem 413 body-too-large --data-binary "@$scratch/large" "$base/predict"
check "metrics are not published: 404" problem 404 not-found "$base/metrics"
check "no TLS: 400" problem 400 plain-http "http://localhost:8443/"
check "a broken image gets the service's own answer: 415" problem 415 unsupported-media-type -H 'Content-Type: image/jpeg' --data-binary nonsense "$base/predict"

problem_1() { problem "$1" "$2" --http1.1 "${@:3}"; }
check "a header that is too long: 400" problem_1 400 bad-request -H "X-Long: $(head -c 40000 /dev/zero | tr '\0' x)" "$base/health"
check "a URI that is too long: 414" problem_1 414 uri-too-long "$base/$(head -c 40000 /dev/zero | tr '\0' x)"
raw() { # REQUEST STATUS: nginx answers these bytes with this status, and no replica gets them
  printf "$1" | timeout 20 openssl s_client -quiet -connect localhost:8443 2>/dev/null | head -1 | tee /dev/stderr | grep -q " $2"
}
check "two lengths (smuggling): 400" raw 'POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' 400
check "no host: 400" raw 'GET /health HTTP/1.1\r\n\r\n' 400
check "not HTTP: 400" raw 'nonsense\r\n\r\n' 400
many_connections() { # 520 unfinished uploads of one address: the next one is refused
  python3 - <<'END'
import socket, ssl, sys
tls = ssl.create_default_context(); tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
def connect():
    return tls.wrap_socket(socket.create_connection(("localhost", 8443), timeout=20))
held = [connect() for _ in range(520)]
for made in held: # in one go: each has five seconds for its body
    made.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")
answers = []
for made in held[-8:]:
    made.settimeout(3)
    try: answers.append(made.recv(4096))
    except OSError: answers.append(b"")
print(answers[-1][:300])
sys.exit(0 if any(b" 429 " in answer and b"too-many-connections" in answer for answer in answers) else 1)
END
}
check "520 unfinished uploads from one address: 429" many_connections
check "a good client afterwards" await 20 predicts "$base"
check "300 slow clients are disconnected, and do not slow down a good one" python3 tests/container/slow_clients.py localhost 8443 "$scratch/x.jpeg"
show_output

lose_a_replica() { # one replica is killed; when it is back, one is stopped; while four clients send requests
  begin_load 4 "$base"
  sleep 2
  kill -9 "$(inspect '{{.State.Pid}}' "$(dc ps -q service | head -1)")"
  sleep 1
  await 60 all_healthy
  docker stop "$(dc ps -q service | tail -1)" >/dev/null
  sleep 2
  end_load
  # What the killed replica had in hand is lost (502; 504 if its network went first). While one is away, the other can be
  # full, or leave at the same moment (503). Each at most once for each client.
  [ "$(grep -c 200 "$scratch/codes")" -gt 50 ] && not grep -qv '^200$\|^50[234]$' "$scratch/codes" &&
    [ "$(grep -c '50[24]' "$scratch/codes")" -le 4 ] && [ "$(grep -c 503 "$scratch/codes")" -le 4 ]
}
check "a replica killed and one stopped under load: at most one request of each client fails at either" lose_a_replica
show_output
docker stop $(dc ps -q service) >/dev/null
check "no replica at all: 503" await 10 problem 503 not-ready --data-binary "@$scratch/x.jpeg" -H 'Content-Type: image/jpeg' "$base/predict"
check "Retry-After" grep -qi '^retry-after: 1' "$scratch/head"
docker start $(dc ps -aq service) >/dev/null
check "available again after the start" await 30 predicts "$base"
stopped_proxy() { docker stop "$(container proxy)" >/dev/null && is '{{.State.ExitCode}}' 0 "$(container proxy)"; }
check "the proxy shuts down cleanly" stopped_proxy
dc down --timeout 5 >/dev/null 2>&1
rm "$TLS_FOLDER/tls.crt"
no_certificate() {
  dc up -d proxy >/dev/null 2>&1
  await 30 sh -c 'docker logs "$0" 2>&1 | grep -q "cannot load certificate"' "$(container proxy)"
}
check "no certificate: the log reports it" no_certificate
unset TLS_FOLDER
