#!/bin/sh
# Makes each of these images, by its tag here, the one whose digest is in deploy/images.lock. An image that is not listed
# yet is fetched by its tag, and its digest is added.
#
#     deploy/pinned.sh IMAGE...
#
# To renew: `make images` (the tags may name newer images by now), then look at the difference and commit it.
set -eu
cd "$(dirname "$0")/.."
lock=${LOCK:-deploy/images.lock}
touch "$lock"
say() { echo "images: $*" >&2; }
digest() { docker image inspect -f '{{range .RepoDigests}}{{println .}}{{end}}' "$1" 2>/dev/null | sed -n 's/.*@//p' | head -1; }

for image in "$@"; do
  name=${image%:*}
  pinned=$(awk -v image="$image" '$1 == image { print $2 }' "$lock")
  if [ -n "$pinned" ]; then
    [ "$(digest "$image")" = "$pinned" ] && continue
    say "fetching $image at $pinned"
    docker pull --quiet "$name@$pinned" >/dev/null ||
      { say "$image at $pinned cannot be fetched; to pin what its tag names now: make images"; exit 1; }
    docker tag "$name@$pinned" "$image"
    continue
  fi
  docker image inspect "$image" >/dev/null 2>&1 || docker pull --quiet "$image" >/dev/null ||
    { say "$image is not here and cannot be fetched"; exit 1; }
  pinned=$(digest "$image")
  if [ -z "$pinned" ]; then
    say "$image was built or imported here, not fetched from a registry: it has no digest and is not pinned"
    continue
  fi
  echo "$image $pinned" >>"$lock"
  say "pinned $image at $pinned in $lock: commit it"
done
