#!/usr/bin/env bash
# Tries the example on this machine: a stand-in for the CodeStream host, and Portway on the template in front of it.
#
#   SCHEME        https (the default) or http: which of the two templates
#   PORT_OFFSET   added to every port, so that nobody needs to be root (default 10000: 10443 and 22443, or 10080 and 22080)
#   ADMIN_PORT    port of the admin address (default 9900)
#   RUN_DIR       where certificates and logs go (default: a new folder that is removed at the end)
#   PORTWAY       the binary (default: the newest of this checkout, else the one on the PATH)
#
# Ctrl-C or SIGTERM ends everything that it started.
set -euo pipefail
umask 077 # private keys are written

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scheme=${SCHEME:-https}
offset=${PORT_OFFSET:-10000}
admin_port=${ADMIN_PORT:-9900}
balancer=codestream.example.com

# The host lives on an address of its own, as it would on a machine of its own, one port further than Portway.
host=127.0.0.20
case $scheme in
https) api=443 broadcaster=12443 ;;
http) api=80 broadcaster=12080 ;;
*) echo "run.sh: SCHEME is https or http" >&2 && exit 1 ;;
esac
host_api=$((api + 1 + offset))
host_broadcaster=$((broadcaster + 1 + offset))

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

command -v python3 >/dev/null || fail "python3 is needed (Debian: apt-get install python3)"

find_portway() {
    local built newest=
    for built in "$here"/../../target/{release,debug}/portway; do
        if [ -x "$built" ] && { [ -z "$newest" ] || [ "$built" -nt "$newest" ]; }; then
            newest=$built
        fi
    done
    if [ -n "${PORTWAY:-$newest}" ]; then
        echo "${PORTWAY:-$newest}"
    else
        command -v portway || fail "no portway: cargo build --release -p portway"
    fi
}
portway=$(find_portway)

if [ -n "${RUN_DIR:-}" ]; then
    mkdir -p "$RUN_DIR"
    run_dir=$(cd "$RUN_DIR" && pwd)
    remove_run_dir=
else
    run_dir=$(mktemp -d)
    remove_run_dir=yes
fi

children=()
clean_up() {
    # Once is enough: a second Ctrl-C must not leave half of it behind.
    trap - EXIT
    trap '' INT TERM
    for ((i = ${#children[@]} - 1; i >= 0; i--)); do
        kill "${children[i]}" 2>/dev/null || true
        wait "${children[i]}" 2>/dev/null || true
    done
    [ -z "$remove_run_dir" ] || rm -rf "$run_dir"
}
trap clean_up EXIT
trap 'exit 0' INT TERM

cd "$run_dir"

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
for port in "$host_api" "$host_broadcaster"; do
    # A host that is not there yet would be looked at again 15 seconds later.
    for ((i = 0; i < 100; i++)); do
        (: <"/dev/tcp/$host/$port") 2>/dev/null && break
        sleep 0.1
    done
done
echo "the host: API on $host:$host_api, broadcaster on $host:$host_broadcaster (process ${children[0]})"

# The instance is registered with both target groups; --port-offset moves the listeners.
"$portway" run "$here/$scheme.json" "${given[@]}" \
    --target "ApiTargets=$host:$host_api" --target "BroadcasterTargets=$host:$host_broadcaster" \
    --port-offset "$offset" --admin "127.0.0.1:$admin_port" &
children+=($!)

echo "everything is in $run_dir; now, in another terminal:"
echo "  SCHEME=$scheme CA_FILE=$run_dir/balancer.crt PORT_OFFSET=$offset ADMIN_PORT=$admin_port $here/try.sh"
# Ends with Portway, or by a signal.
wait "${children[-1]}"
