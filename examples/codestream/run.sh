#!/usr/bin/env bash
# Tries the example on this machine: a stand-in for the CodeStream host, and Portway on the template in front of it.
#
#   SCHEME        https (the default) or http: which of the two templates
#
# PORT_OFFSET (10000: 10443 and 22443, or 10080 and 22080), ADMIN_PORT, RUN_DIR and PORTWAY: see ../lib.sh. Ctrl-C ends
# everything.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
scheme=${SCHEME:-https}
balancer=codestream.example.com

# The host lives on an address of its own, as it would on a machine of its own, one port further than Portway.
host=127.0.0.20
case $scheme in
https) api=443 broadcaster=12443 ;;
http) api=80 broadcaster=12080 ;;
*) fail "SCHEME is https or http" ;;
esac
host_api=$((api + 1 + offset))
host_broadcaster=$((broadcaster + 1 + offset))

need python3
begin

# What `codestream --make-self-signed-cert` does on the host; the certificate of the load balancer is made the same way
# here, where a CA would sign it.
"$portway" cert self-signed host.internal --out-cert host.crt --out-key host.key >/dev/null
"$portway" cert self-signed "$balancer" --out-cert balancer.crt --out-key balancer.key >/dev/null

tls=()
given=(
    --set vpcId=vpc-1 --set publicSubnetIdA=subnet-a --set publicSubnetIdB=subnet-b
    --set clientCidr=127.0.0.1/32 --set "hostIp=$host"
)
if [ "$scheme" = https ]; then
    tls=(host.crt host.key)
    given+=(--set sslCertArn=@balancer.crt,balancer.key)
fi
python3 "$here/host.py" "$host" "$host_api" "$host_broadcaster" "${tls[@]}" &
children+=($!)
wait_for "$host" "$host_api" "$host_broadcaster"
echo "the host: API on $host:$host_api, broadcaster on $host:$host_broadcaster (process ${children[0]})"

# The instance is registered with both target groups.
serve "SCHEME=$scheme CA_FILE=$run_dir/balancer.crt" "$here/$scheme.json" "${given[@]}" \
    --target "ApiTargets=$host:$host_api" --target "BroadcasterTargets=$host:$host_broadcaster"
