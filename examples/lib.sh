# shellcheck shell=bash
# What run.sh and try.sh of the examples share. They read these, too:
#
#   PORT_OFFSET   added to every port, so that nobody needs to be root (default 10000 where the example says no other)
#   ADMIN_PORT    port of the admin address (default 9900)
#   RUN_DIR       where run.sh puts certificates, configurations and logs (default: a new folder, removed at the end)
#   PORTWAY       the binary (default: the newest of this checkout, else the one on the PATH)

offset=${PORT_OFFSET:-${usual_offset:-10000}}
admin_port=${ADMIN_PORT:-9900}
admin=http://127.0.0.1:$admin_port

fail() {
    echo "${0##*/}: FAILED: $*" >&2
    exit 1
}

need() { # programs, called as their Debian packages
    for program in "$@"; do
        command -v "$program" >/dev/null || fail "$program is needed (Debian: apt-get install $program)"
    done
}

## For run.sh.

children=()

# Finds Portway, goes to a folder to work in, and sees to it that Ctrl-C or SIGTERM ends everything that was started.
begin() {
    umask 077 # private keys are written
    portway=$(find_portway)
    if [ -n "${RUN_DIR:-}" ]; then
        mkdir -p "$RUN_DIR"
        run_dir=$(cd "$RUN_DIR" && pwd)
        remove_run_dir=
    else
        run_dir=$(mktemp -d)
        remove_run_dir=yes
    fi
    trap clean_up EXIT
    trap 'exit 0' INT TERM
    cd "$run_dir"
}

find_portway() {
    local built newest=
    for built in "$(dirname "${BASH_SOURCE[0]}")"/../target/{release,debug}/portway; do
        if [ -x "$built" ] && { [ -z "$newest" ] || [ "$built" -nt "$newest" ]; }; then
            newest=$built
        fi
    done
    if [ -n "${PORTWAY:-$newest}" ]; then
        realpath "${PORTWAY:-$newest}"
    else
        command -v portway || fail "no portway: cargo build --release -p portway"
    fi
}

clean_up() {
    # Once is enough: a second Ctrl-C must not leave half of it behind.
    trap - EXIT
    trap '' INT TERM
    # Started last, ended first: Portway finishes what it is doing while its targets still answer.
    for ((i = ${#children[@]} - 1; i >= 0; i--)); do
        kill "${children[i]}" 2>/dev/null || true
        wait "${children[i]}" 2>/dev/null || true
    done
    [ -z "$remove_run_dir" ] || rm -rf "$run_dir"
}

# A stand-in that is not there when Portway looks for it would be looked at again many seconds later.
wait_for() { # address, ports
    local address=$1 port
    for port in "${@:2}"; do
        for ((i = 0; i < 100; i++)); do
            (: <"/dev/tcp/$address/$port") 2>/dev/null && continue 2
            sleep 0.1
        done
        fail "nothing serves on $address:$port"
    done
}

# Runs Portway until it or the script is ended. --port-offset moves its listeners.
serve() { # how try.sh is called, arguments of portway run
    "$portway" run "${@:2}" --port-offset "$offset" --admin "127.0.0.1:$admin_port" &
    children+=($!)
    echo "everything is in $run_dir; now, in another terminal:"
    echo "  $1 PORT_OFFSET=$offset ADMIN_PORT=$admin_port ${here:?}/try.sh"
    wait "${children[-1]}"
}

## For try.sh.

expect() { # what, a text, what it must contain
    case $2 in
    *"$3"*) echo "ok: $1" ;;
    *) fail "$1: no '$3' in: $2" ;;
    esac
}

ask() { # arguments of curl
    curl --silent --show-error --max-time 20 --noproxy '*' "$@"
}

# Waits until every target was looked at; $status is what Portway says then.
wait_for_health() {
    for ((i = 0; i < 300; i++)); do
        status=$(curl --silent --noproxy '*' "$admin/status" || true)
        case $status in
        *'"health":"initial"'*) ;;
        *'"health":"healthy"'*) break ;;
        esac
        sleep 0.1
    done
    expect "Portway finds its targets healthy" "$status" '"health":"healthy"'
}
