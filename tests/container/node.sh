# The DICOM node beside the service: alone, and behind the proxy, whose network is internal.
node_image=xray-inference-node:0.1.0
export NODE_CONFIG=$scratch/node NODE_PORT=11512
mkdir "$NODE_CONFIG"
sed 's/"pacs.example"/"192.0.2.1"/' deploy/node/node.toml >"$NODE_CONFIG/node.toml"
chmod -R a+rX "$NODE_CONFIG"
files+=(-f compose.node.yaml)
echoes() { # C-ECHO from this machine
  docker run --rm --network host --entrypoint python3 "$node_image" -c '
import sys; from pynetdicom import AE
entity = AE("PACS"); entity.add_requested_context("1.2.840.10008.1.1")
made = entity.associate("127.0.0.1", int(sys.argv[1]), ae_title="XRAYNODE")
sys.exit(not (made.is_established and made.send_c_echo().Status == 0) or made.release())' "$NODE_PORT"
}
ends_at_once() { # while it starts: the first process of a container gets no signal that it does not handle
  docker restart --time 40 "$(container "$1")" >/dev/null && sleep 0.3 && docker stop --time 40 "$(container "$1")" >/dev/null && not is '{{.State.ExitCode}}' 137 "$(container "$1")"
}
check "up" dc up -d node service
check "healthy" await 60 healthy node
check "C-ECHO" echoes
hardened node
no_cores node
check "the service is reachable from it" dc exec -T node python3 -c 'import urllib.request as u; u.urlopen("http://service:8000/health/live", timeout=20)'
check "the node ends at once while it starts" ends_at_once node
check "the service does, too" ends_at_once service
dc down --timeout 20 >/dev/null 2>&1

files+=(-f compose.proxy.yaml)
check "behind the proxy: up" dc up -d node service
check "behind the proxy: healthy" await 60 healthy node
check "behind the proxy: C-ECHO" echoes
check "behind the proxy: the service is reachable from it" await 60 dc exec -T node python3 -c 'import urllib.request as u; u.urlopen("http://service:8000/health/live", timeout=20)'
check "behind the proxy: it has a route to the PACS" dc exec -T node python3 -c '
import errno, socket, sys
try: socket.create_connection(("192.0.2.1", 104), 3)
except OSError as error: sys.exit(error.errno == errno.ENETUNREACH)'
unset NODE_CONFIG NODE_PORT
