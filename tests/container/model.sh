# Another model from a folder; an invalid bundle fails the start with one line.
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

fails_with() { # TEXT: the service does not start, and logs exactly one line, with this text
  dc up -d >/dev/null 2>&1
  # Read the exit code before stopping: a container that is just restarting would be killed, with another code.
  await 20 is '{{.State.ExitCode}}' 1 || return 1
  dc stop --timeout 1 >/dev/null 2>&1
  dc logs --no-log-prefix --no-color service | sed 's,^\x1b\[2K,,' | tee "$scratch/lines" | sort -u
  [ "$(sort -u "$scratch/lines" | wc -l)" = 1 ] && grep -q "$1" "$scratch/lines"
}
echo >>"$bundle/model.onnx"
check "a changed bundle: one line, in compose's log" fails_with "model.onnx: SHA-256 differs"
show_output
check "'up --wait' fails" not dc up -d --wait --wait-timeout 20
dc down --timeout 5 >/dev/null 2>&1
rm "$bundle/manifest.json"
check "a folder that is not a bundle: one line" fails_with "manifest.json: No such file"
show_output
dc down --timeout 5 >/dev/null 2>&1
MODEL_FOLDER=$scratch/nowhere
check "a missing folder: compose reports it" sh -c '! "$@" >"$0" 2>&1 && grep -q "path does not exist" "$0"' \
  "$scratch/stderr" docker compose "${files[@]}" up -d
check "MODEL_FOLDER not set: compose reports it" sh -c '! env -u MODEL_FOLDER "$@" >"$0" 2>&1 && grep -q "set MODEL_FOLDER" "$0"' \
  "$scratch/stderr" docker compose "${files[@]}" config
unset MODEL_FOLDER
