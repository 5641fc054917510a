#!/usr/bin/env bash
# Tries the example on this machine: stand-ins for the three nodes of a cluster, and Portway on haproxy.cfg in front of them.
#
# PORT_OFFSET (2000, 3900 at most: 2080, 2443, 3936, 10000, 10443 and 63613), ADMIN_PORT, RUN_DIR and PORTWAY: see
# ../lib.sh. Ctrl-C ends everything.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
usual_offset=2000 # 61613 has to fit
. "$here/../lib.sh"
balancer=flow.example.com

# The nodes live on addresses of their own, one port further than Portway, which takes its ports on every address.
nodes=(127.0.0.51 127.0.0.52 127.0.0.53)
web=$((81 + offset))
server=$((8001 + offset))
stomp=$((61614 + offset))
[ "$stomp" -le 65535 ] || fail "PORT_OFFSET is 3900 at most"

need openssl python3
begin

# The commands of the article, their questions answered beforehand. Clients that verify names need one in the certificate,
# which the article's commands do not put there.
openssl req -new -out server.csr -text -newkey rsa:2048 -keyout privkey.pem -passout pass:secret \
    -subj "/CN=$balancer" 2>/dev/null
openssl rsa -in privkey.pem -out server.key -passin pass:secret 2>/dev/null
echo "subjectAltName=DNS:$balancer" >server.ext
openssl x509 -in server.csr -out server.crt -req -signkey server.key -days 3650 -text -extfile server.ext 2>/dev/null
cat server.crt server.key >server.pem

python3 "$here/node.py" "$web" "$server" "$stomp" "${nodes[@]}" >nodes.log 2>&1 &
children+=($!)
for number in "${!nodes[@]}"; do
    wait_for "${nodes[number]}" "$web" "$server" "$stomp"
    echo "node$((number + 1)): ${nodes[number]}, ports $web, $server and $stomp"
done

# The file of the example with the addresses and ports of these nodes and the place of this certificate. Without `daemon`
# Portway stays in the foreground and ends with this script.
sed -e "/^  daemon$/d" -e "s/node\([123]\)\.example\.com:80 /127.0.0.5\1:$web /" \
    -e "s/node\([123]\)\.example\.com:8000 /127.0.0.5\1:$server /" \
    -e "s/node\([123]\)\.example\.com:61613 /127.0.0.5\1:$stomp /" \
    -e "s/check port 8000/check port $server/" \
    -e "s|/etc/haproxy/server.pem|$run_dir/server.pem|" "$here/haproxy.cfg" >haproxy.cfg
serve "CA_FILE=$run_dir/server.crt" haproxy.cfg
