#!/bin/sh
# Creates a self-signed certificate for a trial: deploy/proxy/certificate.sh [NAME [FOLDER]]. Browsers warn about it. In
# production, put the hospital's tls.crt (with its chain) and tls.key into deploy/proxy/tls, readable for user 101.
set -eu
name=${1:-localhost}
tls=${2:-$(dirname "$0")/tls}
[ ! -e "$tls/tls.key" ] || { echo "certificate: $tls/tls.key exists already" >&2; exit 1; }
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj "/CN=$name" \
  -addext "subjectAltName=DNS:$name,DNS:localhost,IP:127.0.0.1" -keyout "$tls/tls.key" -out "$tls/tls.crt" 2>/dev/null
# The proxy runs as user 101 from its start, so that user must be able to read the key.
if [ "$(id -u)" = 0 ]; then chown 101 "$tls/tls.key"; chmod 400 "$tls/tls.key"; else chmod 644 "$tls/tls.key"; fi
echo "certificate: wrote tls.crt and tls.key for $name to $tls, valid for 90 days"
