#!/usr/bin/env bash
# Tries the example on this machine: two stand-ins for Flow instances, and Portway in front of them.
#
# PORT_OFFSET (10000: 10443 and 18800), ADMIN_PORT, RUN_DIR and PORTWAY: see ../lib.sh. Ctrl-C ends everything.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
host=flow.example.com

# The instances live on addresses of their own, as they would on machines of their own. Their console is one port
# further than Portway's, which takes 8800 on every address.
instances=(127.0.0.10 127.0.0.11)
app_port=$((80 + offset))
console_port=$((8801 + offset))

need openssl nginx
begin

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

# The configuration of the example with the addresses of these instances.
sed -e "s/10\.0\.0\.\(1[01]\):80\"/127.0.0.\1:$app_port\"/g" \
    -e "s/10\.0\.0\.\(1[01]\):8800\"/127.0.0.\1:$console_port\"/g" \
    -e "s/port = 8800/port = $console_port/" "$here/portway.toml" >portway.toml
serve "CA_FILE=$run_dir/ca.pem" portway.toml
