#!/usr/bin/env bash
# Tries the example on this machine: stand-ins for three Flow servers and Management Center, and Portway on the compose file
# in front of them.
#
#   PORT_OFFSET   added to every port, so that nobody needs to be root (default 10000: 10080, 19021 to 19023, 18080)
#   ADMIN_PORT    port of the admin address (default 9900)
#   RUN_DIR       where logs go (default: a new folder that is removed at the end)
#   PORTWAY       the binary (default: the newest of this checkout, else the one on the PATH)
#
# Ctrl-C or SIGTERM ends everything that it started.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
offset=${PORT_OFFSET:-10000}
admin_port=${ADMIN_PORT:-9900}
first=$((9021 + offset))
last=$((9023 + offset))
center=$((8080 + offset))

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
    # Started last, ended first: Portway finishes what it is doing while the servers still answer.
    for ((i = ${#children[@]} - 1; i >= 0; i--)); do
        kill "${children[i]}" 2>/dev/null || true
        wait "${children[i]}" 2>/dev/null || true
    done
    [ -z "$remove_run_dir" ] || rm -rf "$run_dir"
}
trap clean_up EXIT
trap 'exit 0' INT TERM

wait_for() { # port
    for ((i = 0; i < 100; i++)); do
        (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.1
    done
    fail "nothing serves on port $1"
}

for ((port = first; port <= last; port++)); do
    name=flow-$((port - first + 1))
    python3 "$here/standin.py" "$port" "$name" >"$run_dir/$name.log" 2>&1 &
    children+=($!)
    wait_for "$port"
    echo "$name: 127.0.0.1:$port (process $!)"
done
python3 "$here/standin.py" "$center" management-center https://flow.example.com >"$run_dir/center.log" 2>&1 &
children+=($!)
wait_for "$center"

# The compose file finds the ports in the environment; --port-offset moves the entry point.
FLOW_PORTS=$first-$last MC_PORT=$center HEALTH_INTERVAL=${HEALTH_INTERVAL:-2s} \
    "$portway" run "$here/compose.yml" --port-offset "$offset" --admin "127.0.0.1:$admin_port" &
children+=($!)

echo "in another terminal:"
echo "  PORT_OFFSET=$offset ADMIN_PORT=$admin_port $here/try.sh"
# Ends with Portway, or by a signal.
wait "${children[-1]}"
