# Shared by the scripts beside it; to be sourced from the root of the repository.

# Installs Debian packages.
install_packages() {
    local as_root=
    [ "$(id -u)" -eq 0 ] || as_root=sudo
    if [ -z "${packages_updated:-}" ]; then
        $as_root apt-get update -qq
        packages_updated=1
    fi
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends "$@"
}

# need COMMAND PACKAGE: makes sure that there is such a command.
need() {
    command -v "$1" >/dev/null || install_packages "$2"
    command -v "$1" >/dev/null || { echo "$2 is installed, but there is no $1" >&2; exit 1; }
}

build_release() {
    cargo build --release -p ringcached
}

# Starts a release server with four cores on an ephemeral loopback port; sets port, server_pid and work.
start_server() {
    work=$(mktemp -d)
    MEMCACHED_PORT_FILENAME=$work/port target/release/ringcached -p -1 -l 127.0.0.1 -t 4 -m 256 \
        >"$work/stdout" 2>"$work/stderr" &
    server_pid=$!
    for _ in $(seq 300); do
        if [ -s "$work/port" ]; then
            port=$(sed -n 's/^TCP INET: //p' "$work/port")
            return
        fi
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.1
    done
    echo "the server does not start:" >&2
    cat "$work/stderr" >&2
    kill "$server_pid" 2>/dev/null || true
    exit 1
}

# Stops it; it must end well. Keeps the exit code of the script if that is a failure.
stop_server() {
    local code=$? ended=0
    kill -TERM "$server_pid" 2>/dev/null || true
    wait "$server_pid" || ended=$?
    if [ "$ended" -ne 0 ]; then
        echo "the server ended with $ended:" >&2
        cat "$work/stderr" >&2
        [ "$code" -ne 0 ] || code=1
    fi
    rm -rf "$work"
    exit "$code"
}
