# API keys in a volume: created, used and revoked while the service runs, published to other machines.
files+=(-f compose.keys.yaml)
draw
export PUBLISH_ADDRESS=0.0.0.0
keys() { dc run --rm --no-deps service keys "$@"; }
no_file() {
  dc up -d >/dev/null 2>&1
  await 20 sh -c 'docker logs "$0" 2>&1 | grep -q "XRAY_KEYS_FILE: /keys/keys.json: No such file"' "$(container)"
}
check "without a key file: the log reports it" no_file
check "a key is created" keys add ward-3
key=$(grep -o 'xray_[A-Za-z0-9_-]*' "$scratch/out")
check "up" dc up -d --force-recreate
check "healthy" await 60 healthy
status() { ask -o /dev/null -w '%{http_code}' "$@" http://localhost:8000/predict; }
answers() { [ "$(status "${@:2}")" = "$1" ]; }
check "without a key: 401" answers 401
check "with the key: 200" answers 200 -H "Authorization: Bearer $key"
list_without_key() { keys list | tee "$scratch/list" && grep -q ward-3 "$scratch/list" && not grep -q "$key" "$scratch/list"; }
check "the list has the key's name, and not the key" list_without_key
hashed() { not docker exec "$(container)" grep -q "$key" /keys/keys.json && docker exec "$(container)" grep -q ward-3 /keys/keys.json; }
check "so has the file" hashed
second() { key2=$(keys add ward-4 2>/dev/null | tr -d '\r') && await 5 answers 200 -H "Authorization: Bearer $key2"; }
check "the running service accepts a second key" second
revoked() { keys revoke ward-3 && await 5 answers 401 -H "Authorization: Bearer $key" && answers 200 -H "Authorization: Bearer $key2"; }
check "the revoked first key is rejected, and no other" revoked
unset PUBLISH_ADDRESS
