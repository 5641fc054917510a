#!/usr/bin/env bash
# Shows what the document asks for at a running example: run.sh prints how to call this.
#
#   SCHEME        as for run.sh (default https)
#   CA_FILE       the certificate of the load balancer (needed for https)
#
# PORT_OFFSET and ADMIN_PORT: as for run.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
scheme=${SCHEME:-https}
balancer=codestream.example.com
if [ "$scheme" = https ]; then
    api=$((443 + offset)) broadcaster=$((12443 + offset))
    trust=("${CA_FILE:?names the certificate of the load balancer, such as RUN_DIR/balancer.crt}")
else
    api=$((80 + offset)) broadcaster=$((12080 + offset))
    trust=()
fi

get() { # port, path, further arguments
    ask ${trust:+--cacert "${trust[0]}"} \
        --resolve "$balancer:$1:127.0.0.1" "${@:3}" "$scheme://$balancer:$1$2"
}

wait_for_health

echo "== the API"
expect "the status of the API" "$(get "$api" /no-auth/status)" OK
answer=$(get "$api" /no-auth/provider-token/github)
echo "$answer"
expect "the API is told how its client speaks" "$answer" "X-Forwarded-Proto: $scheme"
expect "the API is told its client's address" "$answer" "X-Forwarded-For: 127.0.0.1"
expect "the request can be followed" "$answer" "X-Amzn-Trace-Id: Root=1-"

echo "== the broadcaster"
expect "the status of the broadcaster" "$(get "$broadcaster" /no-auth/status)" OK
answer=$(python3 "$here/websocket.py" "$balancer" "$broadcaster" "hello over a WebSocket" "${trust[@]}")
expect "a WebSocket carries texts both ways" "$answer" "hello over a WebSocket"

echo "== the security group"
expect "the host itself may call" "$(get "$api" /no-auth/status --interface 127.0.0.20)" OK
if get "$api" /no-auth/status --interface 127.0.0.30 --max-time 2 >/dev/null 2>&1; then
    fail "a client that no rule lets in was served"
fi
echo "ok: who is in no rule hears nothing"
echo "all is well"
