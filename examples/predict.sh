#!/bin/sh
# Asking the service with curl (7.76 or newer):
#   predict.sh URL FILE                      one radiograph: prints the answer, JSON
#   predict.sh URL FILE FILE...              several in one request, up to 64: one answer, in their order
#   predict.sh URL --explain FILE OUT.png    the radiograph with the heatmap over it
# A key, where the service asks for one, is taken from XRAY_CLIENT_KEY. Exit code: curl's; 22 if the service refuses, and
# then the problem (JSON: type, title, status, detail, request_id) is on stderr.
set -eu
url=${1%/}
shift

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# The key goes through a pipe: a command line can be read by everybody on the machine. --retry waits as long as the
# service says in Retry-After. --noproxy: images go to the service and nowhere else. Each try writes the file anew.
ask() {
  printf '%s' "${XRAY_CLIENT_KEY:+Authorization: Bearer $XRAY_CLIENT_KEY}" |
    curl --silent --show-error --fail-with-body --max-time 60 --retry 8 --noproxy '*' --header @- \
      --output "$answer" "$@" || { code=$? && cat "$answer" >&2 && exit "$code"; }
}

if [ "$1" = --explain ]; then
  ask --header 'Content-Type: application/octet-stream' --data-binary "@$2" "$url/explain"
  cp "$answer" "$3"
elif [ $# = 1 ]; then
  ask --header 'Content-Type: application/octet-stream' --data-binary "@$1" "$url/predict"
  cat "$answer"
else
  # Without filename= curl would send the files' names, in which there may be a patient's.
  number=0
  for file in "$@"; do
    set -- "$@" --form "file=@\"$file\";filename=image-$number"
    shift
    number=$((number + 1))
  done
  ask "$@" "$url/predict"
  cat "$answer"
fi
