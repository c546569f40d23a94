#!/bin/sh
# A client of the service with curl (7.76 or newer):
#   predict.sh URL FILE                      one radiograph: prints the response (JSON)
#   predict.sh URL FILE FILE...              several in one request, up to 64: one response, in the order of the files
#   predict.sh URL --explain FILE OUT.png    the radiograph with the heatmap over it
# If the service requires an API key, set XRAY_CLIENT_KEY. The exit code is curl's; it is 22 if the service rejects the
# request, and then the problem (JSON: type, title, status, detail, request_id) is on stderr.
set -eu
if [ $# -lt 2 ] || { [ "$2" = --explain ] && [ $# != 4 ]; }; then
  echo "usage: predict.sh URL FILE...   or   predict.sh URL --explain FILE OUT.png" >&2
  exit 2
fi
url=${1%/}
shift

response=$(mktemp)
trap 'rm -f "$response"' EXIT

readable() {
  for file in "$@"; do
    [ -f "$file" ] && [ -r "$file" ] || { echo "$file: not a file that can be read" >&2 && exit 2; }
  done
}

# The key is passed through a pipe, because every user of the machine can read command lines. --retry honours the
# Retry-After of the service. --noproxy: images go directly to the service. Each attempt overwrites the output file.
post() {
  printf '%s' "${XRAY_CLIENT_KEY:+Authorization: Bearer $XRAY_CLIENT_KEY}" |
    curl --silent --show-error --fail-with-body --max-time 60 --retry 8 --noproxy '*' --header @- \
      --output "$response" "$@" || { code=$? && cat "$response" >&2 && exit "$code"; }
}

if [ "$1" = --explain ]; then
  readable "$2"
  post --header 'Content-Type: application/octet-stream' --data-binary "@$2" "$url/explain"
  cp "$response" "$3"
elif [ $# = 1 ]; then
  readable "$1"
  post --header 'Content-Type: application/octet-stream' --data-binary "@$1" "$url/predict"
  cat "$response"
else
  readable "$@"
  # Without filename=, curl would send the file names, which may contain a patient's name.
  number=0
  for file in "$@"; do
    set -- "$@" --form "file=@\"$file\";filename=image-$number"
    shift
    number=$((number + 1))
  done
  post "$@" "$url/predict"
  cat "$response"
fi
