#!/usr/bin/env bash
# Shows what the document asks for at a running example: run.sh prints how to call this.
#
#   CA_FILE       the CA that signed the certificate of the FQDN (needed)
#
# PORT_OFFSET and ADMIN_PORT: as for run.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
host=flow.example.com
https_port=$((443 + offset))
console_port=$((8800 + offset))
: "${CA_FILE:?names the CA of the FQDN certificate, such as RUN_DIR/ca.pem}"

get() {
    ask --cacert "$CA_FILE" \
        --resolve "$host:$https_port:127.0.0.1" "$@" "https://$host:$https_port/"
}

handshake() { # port, further arguments
    # Releases of OpenSSL differ in the blanks of a name.
    { openssl s_client -connect "127.0.0.1:$1" -servername "$host" "${@:2}" </dev/null 2>&1 || true; } |
        sed 's/CN = /CN=/'
}

wait_for_health

echo "== https://$host:$https_port/"
answer=$(get)
echo "$answer"
expect "the application answers over HTTPS" "$answer" "Flow on instance-"
expect "it is told the name that the user typed" "$answer" "Host: $host"
expect "it is told that the user speaks HTTPS" "$answer" "X-Forwarded-Proto: https"
expect "it is told the user's address" "$answer" "X-Forwarded-For: 127.0.0.1"

echo "== the certificate of $https_port"
shown=$(handshake "$https_port" -CAfile "$CA_FILE" -verify_return_error -verify_hostname "$host")
expect "the FQDN's certificate is shown" "$shown" "subject=CN=$host"
expect "its chain leads to the CA" "$shown" "Verify return code: 0 (ok)"

echo "== the certificate of $console_port"
shown=$(handshake "$console_port")
expect "the console shows its own certificate" "$shown" "subject=CN=instance-"

echo "== both instances take their turn"
seen=
for ((i = 0; i < 20; i++)); do
    seen+=$(get)
done
expect "instance-1 serves" "$seen" "Flow on instance-1"
expect "instance-2 serves" "$seen" "Flow on instance-2"
echo "all is well"
