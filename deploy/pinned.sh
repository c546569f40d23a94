#!/bin/sh
# Makes each of these images, by its tag here, the one whose digest is in deploy/images.lock. An image that is not listed
# yet is fetched by its tag, and its digest is added.
#
#     deploy/pinned.sh IMAGE...
#     deploy/pinned.sh --renew IMAGE...     fetch what the tags name now, and list exactly these
#
# To renew: `make images` (the tags may name newer images by now), then look at the difference and commit it.
set -eu
cd "$(dirname "$0")/.."
lock=${LOCK:-deploy/images.lock}
touch "$lock"
say() { echo "images: $*" >&2; }
digests() { docker image inspect -f '{{range .RepoDigests}}{{println .}}{{end}}' "$1" 2>/dev/null | sed -n 's/.*@//p'; }

if [ "${1-}" = --renew ]; then
  shift
  renewed=$(mktemp)
  trap 'rm -f "$renewed"' EXIT
  grep '^#' "$lock" >"$renewed" || true
  for image in "$@"; do
    # Before the list is touched: half of it renewed would be worse than none.
    docker pull --quiet "$image" >/dev/null || { say "$image cannot be fetched; $lock is unchanged"; exit 1; }
    pinned=$(digests "$image" | head -1)
    [ -n "$pinned" ] || { say "$image has no digest; $lock is unchanged"; exit 1; }
    echo "$image $pinned" >>"$renewed"
  done
  cat "$renewed" >"$lock"
  say "listed $# images in $lock: look at the difference and commit it"
  exit
fi

for image in "$@"; do
  name=${image%:*}
  pinned=$(awk -v image="$image" '$1 == image { print $2 }' "$lock")
  if [ -n "$pinned" ]; then
    digests "$image" | grep -qx "$pinned" && continue
    say "fetching $image at $pinned"
    docker pull --quiet "$name@$pinned" >/dev/null ||
      { say "$image at $pinned cannot be fetched; to pin what its tag names now: make images"; exit 1; }
    docker tag "$name@$pinned" "$image"
    continue
  fi
  say "$lock has no digest of $image: it is taken by its tag"
  docker image inspect "$image" >/dev/null 2>&1 || docker pull --quiet "$image" >/dev/null ||
    { say "$image is not here and cannot be fetched"; exit 1; }
  pinned=$(digests "$image" | head -1)
  if [ -z "$pinned" ]; then
    say "$image was built or imported here, not fetched from a registry: it has no digest and is not pinned"
    continue
  fi
  echo "$image $pinned" >>"$lock"
  say "pinned $image at $pinned in $lock: commit it"
done
