#!/usr/bin/env bash
# Shows what the document asks for at a running example: run.sh prints how to call this.
#
#   SCHEME        as for run.sh (default https)
#   CA_FILE       the certificate of the load balancer (needed for https)
#   PORT_OFFSET   as for run.sh (default 10000)
#   ADMIN_PORT    as for run.sh (default 9900)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scheme=${SCHEME:-https}
offset=${PORT_OFFSET:-10000}
admin=http://127.0.0.1:${ADMIN_PORT:-9900}
balancer=codestream.example.com
if [ "$scheme" = https ]; then
    api=$((443 + offset)) broadcaster=$((12443 + offset))
    trust=("${CA_FILE:?names the certificate of the load balancer, such as RUN_DIR/balancer.crt}")
else
    api=$((80 + offset)) broadcaster=$((12080 + offset))
    trust=()
fi

fail() {
    echo "try.sh: FAILED: $*" >&2
    exit 1
}

expect() { # what, a text, what it must contain
    case $2 in
    *"$3"*) echo "ok: $1" ;;
    *) fail "$1: no '$3' in: $2" ;;
    esac
}

get() { # port, path, further arguments
    curl --silent --show-error --max-time 20 --noproxy '*' ${trust:+--cacert "${trust[0]}"} \
        --resolve "$balancer:$1:127.0.0.1" "${@:3}" "$scheme://$balancer:$1$2"
}

for ((i = 0; i < 300; i++)); do
    status=$(curl --silent --noproxy '*' "$admin/status" || true)
    [[ $status == *'"health":"healthy"'*'"health":"healthy"'* ]] && break
    sleep 0.1
done
expect "both targets are healthy" "$status" '"health":"healthy"'

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
if get "$api" /no-auth/status --interface 127.0.0.30 >/dev/null 2>&1; then
    fail "a client that no rule lets in was served"
fi
echo "ok: who is in no rule is refused"
echo "all is well"
