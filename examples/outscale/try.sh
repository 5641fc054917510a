#!/usr/bin/env bash
# Shows what the document asks for at a running example: run.sh prints how to call this.
#
#   MODE          as for run.sh (default termination)
#   RUN_DIR       the folder of run.sh, with the certificates (needed)
#
# PORT_OFFSET and ADMIN_PORT: as for run.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
mode=${MODE:-termination}
host=www.example.com
: "${RUN_DIR:?names the folder that run.sh printed}"

get() { # URL without host, further arguments
    ask --resolve "$host:$((443 + offset)):127.0.0.1" \
        --resolve "$host:$((80 + offset)):127.0.0.1" "${@:2}" "$1"
}

wait_for_health

https=https://$host:$((443 + offset))/
if [ "$mode" = termination ]; then
    echo "== HTTPS to HTTP"
    answer=$(get "$https" --cacert "$RUN_DIR/balancer.crt")
    echo "$answer"
    expect "the load balancer's certificate is shown, an instance answers over HTTP" "$answer" "ALPN: -"
    expect "the instance is told that its client speaks HTTPS" "$answer" "X-Forwarded-Proto: https"
    echo "== SSL to TCP"
    answer=$(python3 - "$host" $((993 + offset)) "$RUN_DIR/balancer.crt" <<'PYTHON'
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[3])
stream = socket.create_connection(("127.0.0.1", int(sys.argv[2])), timeout=20)
print(context.wrap_socket(stream, server_hostname=sys.argv[1]).recv(100).decode().strip())
PYTHON
    )
    expect "the mail server says hello in the clear, its client reads it over TLS" "$answer" "* OK mail on instance-"
else
    echo "== TCP to TCP"
    cat "$RUN_DIR"/instance-1.crt "$RUN_DIR"/instance-2.crt >"$RUN_DIR/instances.crt"
    answer=$(get "$https" --cacert "$RUN_DIR/instances.crt")
    echo "$answer"
    expect "an instance shows its own certificate and answers" "$answer" "web on instance-"
    expect "the name that the client asks for reaches the instance" "$answer" "SNI: $host"
    expect "client and instance agree on a protocol" "$answer" "ALPN: http/1.1"
    if get "$https" --cacert "$RUN_DIR/balancer.crt" >/dev/null 2>&1; then
        fail "the load balancer has shown a certificate"
    fi
    echo "ok: the load balancer shows none"
    echo "== HTTP to HTTP"
    expect "plain HTTP beside it" "$(get "http://$host:$((80 + offset))/")" "X-Forwarded-Proto: http"
fi
echo "all is well"
