#!/usr/bin/env bash
# Tries the example on this machine: stand-ins for three Flow servers and Management Center, and Portway on the compose file
# in front of them.
#
# PORT_OFFSET (10000: 10080, 19021 to 19023, 18080), ADMIN_PORT, RUN_DIR and PORTWAY: see ../lib.sh. Ctrl-C ends everything.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
first=$((9021 + offset))
last=$((9023 + offset))
center=$((8080 + offset))

need python3
begin

for ((port = first; port <= last; port++)); do
    name=flow-$((port - first + 1))
    python3 "$here/standin.py" "$port" "$name" >"$run_dir/$name.log" 2>&1 &
    children+=($!)
    wait_for 127.0.0.1 "$port"
    echo "$name: 127.0.0.1:$port (process $!)"
done
python3 "$here/standin.py" "$center" management-center https://flow.example.com >"$run_dir/center.log" 2>&1 &
children+=($!)
wait_for 127.0.0.1 "$center"

# The compose file finds the ports in the environment.
export FLOW_PORTS=$first-$last MC_PORT=$center HEALTH_INTERVAL=${HEALTH_INTERVAL:-2s}
serve "" "$here/compose.yml"
