#!/usr/bin/env bash
# Shows what the article asks for at a running example: run.sh prints how to call this.
#
#   CA_FILE       the certificate that run.sh has made (needed)
#
# PORT_OFFSET and ADMIN_PORT: as for run.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
usual_offset=2000
. "$here/../lib.sh"
balancer=flow.example.com
: "${CA_FILE:?names the certificate, such as RUN_DIR/server.crt}"

get() { # scheme, port as in haproxy.cfg, path, further arguments
    local port=$(($2 + offset))
    ask --cacert "$CA_FILE" --resolve "$balancer:$port:127.0.0.1" "${@:4}" "$1://$balancer:$port$3"
}

in_turn() { # what, then as for get
    local seen='' node
    for node in 1 2 3; do
        seen+="$(get "${@:2}")"$'\n'
    done
    echo -n "$seen"
    for node in 1 2 3; do
        expect "node$node: $1" "$seen" "$1 on 127.0.0.5$node got $4"
    done
}

wait_for_health

echo "== port 80 leads to port 443"
answer=$(get http 80 '/commander/?a=b' --include)
expect "a redirect" "$answer" "HTTP/1.1 302 "
expect "to the same page" "$answer" "/commander/?a=b"
expect "over HTTPS" "$answer" "https://$balancer"

echo "== port 443: web servers, with TLS"
in_turn "web server" https 443 /commander/
echo "== port 8443: application servers, with TLS"
in_turn "application server" https 8443 /commanderRequest/x
echo "== port 8000: application servers, in the clear"
in_turn "application server" http 8000 /commanderRequest/x

echo "== port 61613: STOMP, with TLS"
answer=$(python3 "$here/stomp.py" "$balancer" $((61613 + offset)) "hello to the cluster" "$CA_FILE")
expect "a message goes to a broker and comes back" "$answer" "hello to the cluster"

echo "== port 1936: statistics"
answer=$(get http 1936 '/;csv')
expect "the page knows the nodes" "$answer" "commander-server-backend,node3,"

echo "== a node fails"
get http 8000 /stop >/dev/null
for ((i = 0; i < 100; i++)); do
    down=$(get http 1936 '/;csv' | grep -c 'backend,node[123],.*,DOWN,' || true)
    [ "$down" = 2 ] && break
    sleep 0.1
done
[ "$down" = 2 ] || fail "$down servers are down, and not that for applications and that for STOMP"
echo "ok: its application server is down, and with it its broker"
for ((i = 0; i < 6; i++)); do
    expect "the others serve" "$(get http 8000 /after)" "application server on"
done
echo "all is well"
