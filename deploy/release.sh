#!/bin/sh
# Builds a release in dist/VERSION/; docs/administration.md describes what is in it.
#
#     make release
#
# Needs git, Python with venv, and a package registry for the dependencies. With Docker (compose 2.24.4 or newer) also the
# archive of images; without, that is left out and said. Everything else is built, and the wheel is tried without network.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^VERSION = "\(.*\)"/\1/p' service/wire.py)
out=$PWD/dist/$version
python=.venv/bin/python
say() { echo "release: $*"; }
fail() { say "$*" >&2; exit 1; }

revision=$(git rev-parse HEAD) || fail "not a git checkout"
# DRAFT=1 is for trying: with changes that are not committed, and notes of what is not released yet.
if [ -z "${DRAFT:-}" ]; then
  [ -z "$(git status --porcelain)" ] || fail "there are changes that are not committed (DRAFT=1 to try it all the same)"
  grep -q "^## $version\b" CHANGELOG.md || fail "CHANGELOG.md has no section ## $version (DRAFT=1: what is Unreleased)"
fi
rm -rf "$out" && mkdir -p "$out/wheels"
# Files in the wheel get the time of the commit: the same commit gives the same wheel.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

say "building wheel and source archive of $version at $revision"
$python -m hatchling build -d "$out" >/dev/null 2>&1 || $python -m hatchling build -d "$out"
wheel=$(echo "$out"/*.whl)
awk -v v="$version" '/^## /{ if (on) exit; on = ($2 == v || $2 == "Unreleased"); next } on' CHANGELOG.md >"$out/NOTES.md"
echo "$revision" >"$out/REVISION"

say "fetching the packages it needs, with the hashes of the lock files"
for lock in cpu dicom client; do
  $python -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    -d "$out/wheels" -r "requirements/$lock.txt"
done
cp requirements/cpu.txt requirements/dicom.txt requirements/client.txt "$out/wheels"

say "installing it into an empty environment, without a registry"
trial=$(mktemp -d)
trap 'rm -rf "$trial"' EXIT
$python -m venv "$trial/venv"
"$trial/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$out/wheels" \
  "$wheel[cpu,dicom]"
alone=""
unshare --net true 2>/dev/null && alone="unshare --net"
say "asking it for a prediction${alone:+, without network}"
(cd "$trial" && $alone venv/bin/python - <"$OLDPWD/deploy/trial.py") || fail "the installed wheel does not work"

say "writing the software bill of materials"
$python -m venv "$trial/sbom"
"$trial/sbom/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/sbom.txt
"$trial/sbom/bin/python" deploy/sbom.py "$trial/venv" models "$version" application >"$out/sbom-wheel.cdx.json"

if docker compose version >/dev/null 2>&1; then
  deploy/offline.sh ${PARTS:-proxy monitoring node}
  mv dist/xray-inference-"$version"-offline.tar* "$out"
else
  say "no Docker with compose here: the archive of images is left out (make offline, on a machine that has it)"
fi
(cd "$out" && find . -type f ! -name SHA256SUMS | sort | xargs sha256sum >SHA256SUMS)
say "wrote $out ($(du -sm "$out" | cut -f1) MiB): $(cd "$out" && echo *)"
