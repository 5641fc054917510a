#!/usr/bin/env bash
# Tries the example on this machine: two stand-ins for instances, and Portway in front of them.
#
#   MODE          termination (the default) or passthrough
#
# PORT_OFFSET (10000: 10443 and 10993, or 10443 and 10080), ADMIN_PORT, RUN_DIR and PORTWAY: see ../lib.sh. Ctrl-C ends
# everything.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
mode=${MODE:-termination}
host=www.example.com

# The instances live on addresses of their own, one port further than Portway, which takes its ports on every address.
instances=(127.0.0.40 127.0.0.41)
http_port=$((81 + offset))
https_port=$((444 + offset))
mail_port=$((144 + offset))

[ -f "$here/$mode.toml" ] || fail "MODE is termination or passthrough"
need python3
begin

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
    wait_for "$address" "$mail_port"
done

# The configuration of the example with the addresses and ports of these instances.
sed -e 's/10\.0\.0\.1\([01]\)"/127.0.0.4\1"/g' -e "s/instance_port = 80,/instance_port = $http_port,/" \
    -e "s/instance_port = 443,/instance_port = $https_port,/" \
    -e "s/instance_port = 143,/instance_port = $mail_port,/" "$here/$mode.toml" >"$mode.toml"
serve "MODE=$mode RUN_DIR=$run_dir" "$mode.toml"
