#!/bin/sh
# Builds one archive that installs the service on a machine without internet; docs/install-offline.md describes its use.
#
#     make offline [PARTS="proxy monitoring node"]     optional parts beside the service: any of proxy, monitoring, node, gpu, bulk
#
# Needs Docker with compose 2.24.4 or newer, Python with venv for the documentation, and images of nginx, Prometheus and Grafana that are there or can be fetched.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^VERSION = "\(.*\)"/\1/p' service/wire.py)
name=xray-inference-$version
REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)
export REVISION
rm -rf "dist/$name" && mkdir -p "dist/$name/deploy" "dist/$name/docs"

files="-f docker-compose.yml"
for part in "$@"; do
  case $part in proxy | monitoring | node | gpu | bulk) ;; *) echo "offline: unknown part $part; choose from proxy, monitoring, node, gpu, bulk" >&2; exit 2 ;; esac
  # The gpu part replaces the service's image, so its image is added beside the default one; bulk is no service.
  case $part in gpu | bulk) ;; *) files="$files -f compose.$part.yaml" ;; esac
done
say() { echo "offline: $*"; }

say "building the documentation"
make --silent docs
say "building and fetching images"
# shellcheck disable=SC2086  # several words are meant
images=$(docker compose $files config --images | sort -u)
# What comes from a registry, the base of our own images included, is the image with the digest in deploy/images.lock.
# shellcheck disable=SC2046
deploy/pinned.sh "${PYTHON_IMAGE:-python:3.11-slim}" $(echo "$images" | grep -v '^xray-') ||
  { echo "offline: an image is missing; leave its part out with PARTS=..." >&2; exit 1; }
# shellcheck disable=SC2086
docker compose $files build --quiet
case " $* " in *" gpu "*)
  docker compose -f docker-compose.yml -f compose.gpu.yaml build --quiet
  images="$images $(docker compose -f docker-compose.yml -f compose.gpu.yaml config --images)" ;;
esac
case " $* " in *" bulk "*)
  docker build --quiet --target bulk --tag xray-bulk --build-arg "REVISION=$REVISION" . >/dev/null
  images="$images xray-bulk" ;;
esac
say "saving $(echo $images)"
# shellcheck disable=SC2086
docker save -o "dist/$name/images.tar" $images # not in a pipe, which would hide a failure
gzip -6 "dist/$name/images.tar"
say "writing the software bills of materials"
docker build --quiet --target sbom-service --output "dist/$name" . >/dev/null
for part in gpu bulk; do
  target=$([ "$part" = gpu ] && echo sbom-service-gpu || echo sbom-bulk)
  case " $* " in *" $part "*) docker build --quiet --target "$target" --output "dist/$name" . >/dev/null ;; esac
done
docker image inspect -f '{{index .RepoTags 0}} {{.Id}}' $images >"dist/$name/IMAGES"

cp docker-compose.yml compose.*.yaml LICENSE CHANGELOG.md deploy/images.lock "dist/$name"
rm "dist/$name/compose.training.yaml"
cp docs/install-offline.md "dist/$name/INSTALL.md"
cp docs/*.md "dist/$name/docs"
cp -R build/docs/site "dist/$name/site"
cp -R deploy/proxy deploy/monitoring deploy/node deploy/orthanc "dist/$name/deploy"
# The TLS key of this machine must not be shipped.
find "dist/$name/deploy/proxy/tls" -type f ! -name .gitignore -delete
for card in models/*/*/MODEL_CARD.md; do
  mkdir -p "dist/$name/$(dirname "$card")" && cp "$card" "dist/$name/$card"
done
(cd "dist/$name" && find . -type f ! -name SHA256SUMS | sort | xargs sha256sum >SHA256SUMS)
tar -C dist --owner 0 --group 0 --numeric-owner -cf "dist/$name-offline.tar" "$name"
(cd dist && sha256sum "$name-offline.tar" >"$name-offline.tar.sha256")
rm -rf "dist/$name"
say "wrote dist/$name-offline.tar ($(du -m "dist/$name-offline.tar" | cut -f1) MiB) and its .sha256"
