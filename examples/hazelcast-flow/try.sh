#!/usr/bin/env bash
# Shows what the document asks for at a running example: run.sh prints how to call this.
#
# PORT_OFFSET and ADMIN_PORT: as for run.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
port=$((80 + offset))

get() { # host, path, further arguments
    ask -H "Host: $1" "${@:3}" "http://127.0.0.1:$port$2"
}

wait_for_health

echo "== Flow"
answer=$(get flow.example.com /)
echo "$answer"
expect "Flow answers" "$answer" "server: flow-"
expect "it is told that its users speak HTTPS" "$answer" "X-Forwarded-Proto: https"
expect "it is told their port" "$answer" "X-Forwarded-Port: 443"
expect "it is told their address" "$answer" "X-Forwarded-For: 127.0.0.1"
expect "another host is not served" "$(get other.example.com /)" "404 page not found"

echo "== a WebSocket with heartbeats"
answer=$(python3 "$here/websocket.py" flow.example.com "$port" 3 0.2)
echo "$answer"
expect "it is told the same" "$answer" "X-Forwarded-Proto: https"
expect "its port too" "$answer" "X-Forwarded-Port: 443"
expect "heartbeats come back" "$answer" "beat 2"

echo "== all servers take their turn"
seen=
for ((i = 0; i < 12; i++)); do
    seen+=$(get flow.example.com /)
done
for name in flow-1 flow-2 flow-3; do
    expect "$name serves" "$seen" "server: $name"
done

echo "== Management Center allows Flow's pages to read it"
origin="Origin: https://flow.example.com"
answer=$(get mc.example.com /oauth2/jwks -i -H "$origin")
expect "its header passes" "$answer" "Access-Control-Allow-Origin: https://flow.example.com"
[ "$(grep -ic access-control-allow-origin <<<"$answer")" = 1 ] || fail "the header is there twice: $answer"
answer=$(get mc.example.com /oauth2/token -i -X OPTIONS -H "$origin" -H "Access-Control-Request-Method: GET")
expect "it answers what browsers ask first" "$answer" "204 No Content"
expect "itself" "$answer" "Access-Control-Allow-Methods: GET, OPTIONS"
echo "all is well"
