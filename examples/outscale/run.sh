#!/usr/bin/env bash
# Tries the example on this machine: two stand-ins for instances, and Portway in front of them.
#
#   MODE          termination (the default) or passthrough
#   PORT_OFFSET   added to every port, so that nobody needs to be root (default 10000: 10443 and 10993, or 10443 and 10080)
#   ADMIN_PORT    port of the admin address (default 9900)
#   RUN_DIR       where certificates, configurations and logs go (default: a new folder that is removed at the end)
#   PORTWAY       the binary (default: the newest of this checkout, else the one on the PATH)
#
# Ctrl-C or SIGTERM ends everything that it started.
set -euo pipefail
umask 077 # private keys are written

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mode=${MODE:-termination}
offset=${PORT_OFFSET:-10000}
admin_port=${ADMIN_PORT:-9900}
host=www.example.com

# The instances live on addresses of their own, one port further than Portway, which takes its ports on every address.
instances=(127.0.0.40 127.0.0.41)
http_port=$((81 + offset))
https_port=$((444 + offset))
mail_port=$((144 + offset))

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

[ -f "$here/$mode.toml" ] || fail "MODE is termination or passthrough"
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

# The server certificate of the load balancer, and one for each instance, all for the same name.
make_certificate() { # name of the files
    "$portway" cert self-signed "$host" --out-cert "$1.crt" --out-key "$1.key" >/dev/null
}
make_certificate balancer
cat balancer.crt balancer.key >server.pem
for number in "${!instances[@]}"; do
    name=instance-$((number + 1))
    make_certificate "$name"
    python3 "$here/instance.py" "$name" "${instances[number]}" "$http_port" "$https_port" "$mail_port" \
        "$name.crt" "$name.key" &
    children+=($!)
    echo "$name: ${instances[number]}, ports $http_port, $https_port and $mail_port (process $!)"
done
for address in "${instances[@]}"; do
    # An instance that is not there yet would be looked at again 30 seconds later.
    for ((i = 0; i < 100; i++)); do
        (: <"/dev/tcp/$address/$mail_port") 2>/dev/null && break
        sleep 0.1
    done
done

# The configuration of the example with the addresses and ports of these instances; --port-offset moves the listeners.
sed -e 's/10\.0\.0\.1\([01]\)"/127.0.0.4\1"/g' -e "s/instance_port = 80,/instance_port = $http_port,/" \
    -e "s/instance_port = 443,/instance_port = $https_port,/" \
    -e "s/instance_port = 143,/instance_port = $mail_port,/" "$here/$mode.toml" >"$mode.toml"
"$portway" run "$mode.toml" --port-offset "$offset" --admin "127.0.0.1:$admin_port" &
children+=($!)

echo "everything is in $run_dir; now, in another terminal:"
echo "  MODE=$mode RUN_DIR=$run_dir PORT_OFFSET=$offset ADMIN_PORT=$admin_port $here/try.sh"
# Ends with Portway, or by a signal.
wait "${children[-1]}"
