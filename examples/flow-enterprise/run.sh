#!/usr/bin/env bash
# Tries the example on this machine: two stand-ins for Flow instances, and Portway in front of them.
#
#   PORT_OFFSET   added to every port, so that nobody needs to be root (default 10000: 10443 and 18800)
#   ADMIN_PORT    port of the admin address (default 9900)
#   RUN_DIR       where certificates, configurations and logs go (default: a new folder that is removed at the end)
#   PORTWAY       the binary (default: the newest of this checkout, else the one on the PATH)
#
# Ctrl-C or SIGTERM ends everything that it started.
set -euo pipefail
umask 077 # private keys are written

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
offset=${PORT_OFFSET:-10000}
admin_port=${ADMIN_PORT:-9900}
host=flow.example.com

# The instances live on addresses of their own, as they would on machines of their own. Their console is one port
# further than Portway's, which takes 8800 on every address.
instances=(127.0.0.10 127.0.0.11)
app_port=$((80 + offset))
console_port=$((8801 + offset))

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

for program in openssl nginx; do
    command -v "$program" >/dev/null || fail "$program is needed (Debian: apt-get install $program)"
done

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
    # Started last, ended first: Portway finishes what it is doing while the instances still answer.
    for ((i = ${#children[@]} - 1; i >= 0; i--)); do
        kill "${children[i]}" 2>/dev/null || true
        wait "${children[i]}" 2>/dev/null || true
    done
    [ -z "$remove_run_dir" ] || rm -rf "$run_dir"
}
trap clean_up EXIT
trap 'exit 0' INT TERM

cd "$run_dir"

# A CA, an intermediate one, and the certificate of the FQDN: flow.pem is what a buyer gets from a CA, in one file.
ec=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
make_ca() { # name, subject, what signs it
    openssl req -new "${ec[@]}" -keyout "$1.key" -out "$1.csr" -subj "/CN=$2" 2>/dev/null
    printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n' >"$1.ext"
    openssl x509 -req -in "$1.csr" -days 30 -extfile "$1.ext" -out "$1.pem" "${@:3}" 2>/dev/null
}
make_ca ca "Try-out CA" -signkey ca.key
make_ca intermediate "Try-out intermediate CA" -CA ca.pem -CAkey ca.key -set_serial 2
openssl req -new "${ec[@]}" -keyout flow.key -out flow.csr -subj "/CN=$host" 2>/dev/null
echo "subjectAltName=DNS:$host" >flow.ext
openssl x509 -req -in flow.csr -days 30 -extfile flow.ext -CA intermediate.pem -CAkey intermediate.key \
    -set_serial 3 -out flow.crt 2>/dev/null
cat flow.crt intermediate.pem flow.key >flow.pem

# Each instance: nginx as the application on HTTP, and a TLS service with a certificate of its own as the console.
for number in "${!instances[@]}"; do
    instance=${instances[number]}
    name=instance-$((number + 1))
    openssl req -x509 "${ec[@]}" -days 30 -subj "/CN=$name" -keyout "$name.key" -out "$name.crt" 2>/dev/null
    cat >"$name.conf" <<NGINX
daemon off;
master_process off;
pid $name.pid;
error_log $name.error.log;
events { }
http {
    access_log $name.access.log;
    client_body_temp_path $name-temp-1;
    proxy_temp_path $name-temp-2;
    fastcgi_temp_path $name-temp-3;
    uwsgi_temp_path $name-temp-4;
    scgi_temp_path $name-temp-5;
    default_type text/plain;
    server {
        listen $instance:$app_port;
        location / {
            return 200 "Flow on $name\nHost: \$http_host\nX-Forwarded-Proto: \$http_x_forwarded_proto\nX-Forwarded-For: \$http_x_forwarded_for\n";
        }
    }
}
NGINX
    nginx -p "$run_dir/" -e "$name.error.log" -c "$run_dir/$name.conf" &
    children+=($!)
    openssl s_server -accept "$instance:$console_port" -cert "$name.crt" -key "$name.key" -www -quiet \
        >"$name.console.log" 2>&1 &
    children+=($!)
    echo "$name: application on $instance:$app_port, console on $instance:$console_port (process $!)"
done

# The configuration of the example with the addresses of these instances; --port-offset moves the listeners.
sed -e "s/10\.0\.0\.\(1[01]\):80\"/127.0.0.\1:$app_port\"/g" \
    -e "s/10\.0\.0\.\(1[01]\):8800\"/127.0.0.\1:$console_port\"/g" \
    -e "s/port = 8800/port = $console_port/" "$here/portway.toml" >portway.toml
"$portway" run portway.toml --port-offset "$offset" --admin "127.0.0.1:$admin_port" &
children+=($!)

echo "everything is in $run_dir; now, in another terminal:"
echo "  CA_FILE=$run_dir/ca.pem PORT_OFFSET=$offset ADMIN_PORT=$admin_port $here/try.sh"
# Ends with Portway, or by a signal.
wait "${children[-1]}"
