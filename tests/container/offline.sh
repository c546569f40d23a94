# Builds the archive and installs it on a separate engine, in a network without any other host.
check "make offline" make -s offline PARTS="${OFFLINE_PARTS-proxy monitoring node}"
show_output
cp dist/*-offline.tar* "$scratch"
check "checksum of the archive" sh -c 'cd "$0" && sha256sum -c *.tar.sha256' "$scratch"
tar -C "$scratch" -xf "$scratch"/*-offline.tar
unpacked=$(echo "$scratch"/xray-inference-*/)
check "checksums of its files" sh -c 'cd "$0" && sha256sum --quiet -c SHA256SUMS' "$unpacked"
check "its list of contents is CycloneDX and names onnxruntime, libc and the model" python3 -c '
import json, sys
parts = {part["name"] for part in json.load(open(sys.argv[1]))["components"]}
missing = {"onnxruntime", "libc6", "pneumonia/model.int8.onnx"} - parts
sys.exit(str(missing) if missing else 0)' "$unpacked/sbom-service.cdx.json"
case " ${OFFLINE_PARTS-} " in *" bulk "*)
  check "the list of contents of bulk names pyarrow" grep -q '"pyarrow"' "$unpacked/sbom-bulk.cdx.json" ;;
esac
check "the documentation, with its search" sh -c 'test -f "$0/site/index.html" && test -f "$0/site/search.js"' "$unpacked"
check "the archive contains no TLS key" [ -z "$(find "$unpacked" -name "*.key")" ]

socket=$scratch/docker.sock
unshare --net sh -c 'ip link set lo up && exec "$@"' - dockerd --host "unix://$socket" --data-root "$scratch/data" \
  --exec-root "$scratch/exec" --pidfile "$scratch/pid" >"$scratch/dockerd.log" 2>&1 &
on_engine() { nsenter --net="/proc/$(cat "$scratch/pid")/ns/net" env DOCKER_HOST="unix://$socket" COMPOSE_PROJECT_NAME=offline "$@"; }
engine_compose() { (cd "$unpacked" && on_engine docker compose "$@"); }
draw
check "an engine without a network" await 60 on_engine docker version
check "it cannot reach other networks" not on_engine curl -s --max-time 3 http://192.0.2.1
check "it has no images" [ -z "$(on_engine docker images -q)" ]
check "docker load" on_engine docker load -i "$unpacked/images.tar.gz"
began=$(seconds)
check "docker compose up" engine_compose up -d --no-build --wait
echo "      healthy in $(since "$began"), from loaded images"
check "predict" sh -c '"$@" | grep -q "\"probability\":0\."' - nsenter --net="/proc/$(cat "$scratch/pid")/ns/net" \
  curl -sf --data-binary "@$scratch/x.jpeg" -H 'Content-Type: image/jpeg' http://localhost:8000/predict
engine_compose down --timeout 5 >/dev/null 2>&1
case ${OFFLINE_PARTS-proxy monitoring node} in *proxy*)
  (cd "$unpacked" && sh deploy/proxy/certificate.sh >/dev/null)
  check "with the proxy: up" engine_compose -f docker-compose.yml -f compose.proxy.yaml up -d --no-build --wait
  check "with the proxy: predict" sh -c '"$@" | grep -q "\"probability\":0\."' - nsenter --net="/proc/$(cat "$scratch/pid")/ns/net" \
    curl -skf --data-binary "@$scratch/x.jpeg" -H 'Content-Type: image/jpeg' https://localhost:8443/predict
  engine_compose -f docker-compose.yml -f compose.proxy.yaml down --timeout 5 >/dev/null 2>&1 ;;
esac
kill "$(cat "$scratch/pid")"; await 30 not test -e "$scratch/pid"
