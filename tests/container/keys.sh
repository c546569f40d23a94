# API keys in a volume: made, used and revoked beside a running service, also where others can reach it.
files+=(-f compose.keys.yaml)
draw
export PUBLISH_ADDRESS=0.0.0.0
keys() { dc run --rm --no-deps service keys "$@"; }
no_file() {
  dc up -d >/dev/null 2>&1
  await 20 sh -c 'docker logs "$0" 2>&1 | grep -q "XRAY_KEYS_FILE: /keys/keys.json: No such file"' "$(container)"
}
check "no key yet: one line says so" no_file
check "a key is made" keys add ward-3
key=$(grep -o 'xray_[A-Za-z0-9_-]*' "$scratch/out")
check "up" dc up -d --force-recreate
check "healthy" await 60 healthy
status() { ask -o /dev/null -w '%{http_code}' "$@" http://localhost:8000/predict; }
answers() { [ "$(status "${@:2}")" = "$1" ]; }
check "without a key: 401" answers 401
check "with it: an answer" answers 200 -H "Authorization: Bearer $key"
silent() { keys list | tee "$scratch/list" && grep -q ward-3 "$scratch/list" && not grep -q "$key" "$scratch/list"; }
check "the list names it and does not tell it" silent
hashed() { not docker exec "$(container)" grep -q "$key" /keys/keys.json && docker exec "$(container)" grep -q ward-3 /keys/keys.json; }
check "nor does the file" hashed
second() { key2=$(keys add ward-4 2>/dev/null | tr -d '\r') && await 5 answers 200 -H "Authorization: Bearer $key2"; }
check "another one is taken up by the running service" second
revoked() { keys revoke ward-3 && await 5 answers 401 -H "Authorization: Bearer $key" && answers 200 -H "Authorization: Bearer $key2"; }
check "and the first one, revoked, is refused, and no other" revoked
unset PUBLISH_ADDRESS
