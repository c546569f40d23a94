# Another model is another folder; a wrong one stops the start with one line.
files+=(-f compose.model.yaml)
draw
bundle=$scratch/bundle
mkdir "$bundle" && cp models/pneumonia/1/* "$bundle" && chmod -R a+rX "$bundle"
export MODEL_FOLDER=$bundle
check "another bundle: up" dc up -d
check "another bundle: healthy" await 60 healthy
check "another bundle: served" sh -c 'curl -sf localhost:8000/health | grep -q "\"version\":\"1\""'
check "another bundle: predicts" predicts
check "another bundle: read-only" has '{{json .Mounts}}' '"RW":false'
dc down --timeout 5 >/dev/null 2>&1

told_once() { # WORDS: compose shows one line a start, with these words, and the service does not come up
  dc up -d >/dev/null 2>&1
  # Before it is stopped: whoever is just starting again would be killed, and leave another code.
  await 20 is '{{.State.ExitCode}}' 1 || return 1
  dc stop --timeout 1 >/dev/null 2>&1
  dc logs --no-log-prefix --no-color service | sed 's,^\x1b\[2K,,' | tee "$scratch/lines" | sort -u
  [ "$(sort -u "$scratch/lines" | wc -l)" = 1 ] && grep -q "$1" "$scratch/lines"
}
echo >>"$bundle/model.onnx"
check "a changed bundle: one line, in compose's log" told_once "model.onnx: its SHA-256"
told
check "and 'up --wait' fails" not dc up -d --wait --wait-timeout 20
dc down --timeout 5 >/dev/null 2>&1
rm "$bundle/manifest.json"
check "a folder that is no bundle: one line" told_once "manifest.json: No such file"
told
dc down --timeout 5 >/dev/null 2>&1
MODEL_FOLDER=$scratch/nowhere
check "a folder that is not there: compose says so" sh -c '! "$@" >"$0" 2>&1 && grep -q "path does not exist" "$0"' \
  "$scratch/said" docker compose "${files[@]}" up -d
check "no folder named: compose says so" sh -c '! env -u MODEL_FOLDER "$@" >"$0" 2>&1 && grep -q "set MODEL_FOLDER" "$0"' \
  "$scratch/said" docker compose "${files[@]}" config
unset MODEL_FOLDER
