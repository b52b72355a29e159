# PostgreSQL of one instance: $pg_dir has data, log, pid, port and password.

postgres_find() {
    local dir
    pg_bin=
    while read -r dir; do
        [[ -x $dir/postgres && -x $dir/initdb ]] && pg_bin=$dir && break
    done < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV; dirname "$(command -v postgres || echo /none)")
    [[ -n $pg_bin ]] || die "postgresql is not installed: run scripts/install.sh"
}

# Sets pg_as, the prefix under which the server runs. It refuses to be root, so root gives it the user `postgres`. That
# user may be unable to pass through the folders above (a clone in a folder of mode 700); then it gets the one
# capability to pass and to read, which changes nobody's permissions and leaves nothing behind.
postgres_choose_user() {
    pg_as=()
    ((EUID == 0)) || return 0
    id -u postgres >/dev/null 2>&1 || die "there is no user 'postgres' to run postgresql under: run scripts/install.sh"
    chown postgres: "$pg_dir" 2>/dev/null || die "cannot give $pg_dir to the user 'postgres'"
    # A real write: access(2), which `test` asks, ignores capabilities.
    local probe=(sh -c 'cd "$1" && : >probe && rm probe' sh "$pg_dir")
    local base=(setpriv --reuid=postgres --regid="$(id -g postgres)" --init-groups) capability
    pg_as=("${base[@]}" --)
    "${pg_as[@]}" "${probe[@]}" 2>/dev/null && return 0
    for capability in dac_read_search dac_override; do
        pg_as=("${base[@]}" --inh-caps="-all,+$capability" --ambient-caps="-all,+$capability" --)
        "${pg_as[@]}" "${probe[@]}" 2>/dev/null && return 0
    done
    die "the user 'postgres' cannot reach $pg_dir, and this root may not grant it the capability dac_read_search;" \
        "set HEADWAY_RUN_DIR to a folder that everybody can pass through"
}

# Becomes "$@", in a folder that exists for everybody and with a clean environment.
postgres_exec() {
    cd /
    exec env -i --default-signal PATH="$pg_bin:$PATH" LC_ALL=C TZ=UTC TMPDIR="$instance_dir/tmp" \
        HEADWAY_SERVICE_PROCESS="$pg_dir" "${pg_as[@]}" "$@"
}

# Makes the data directory of a new instance, with a password of its own: other users of this machine may reach the port.
postgres_prepare() {
    mkdir -p "$pg_dir"
    postgres_choose_user
    if [[ ! -s $pg_dir/port ]] || ! port_free "$(<"$pg_dir/port")"; then
        choose_port >"$pg_dir/port"
    fi
    [[ -e $pg_dir/initialised ]] && return 0
    rm -rf "$pg_dir/data"
    (umask 077 && random_hex >"$pg_dir/password")
    ((EUID != 0)) || chown postgres: "$pg_dir/password"
    # --no-sync: this directory holds nothing yet; the server itself syncs every commit. md5: the password is
    # random, and scram-sha-256 hashes it 4,096 times for each connection: a quarter of the processor time of the tests.
    if ! (postgres_exec "$pg_bin/initdb" -D "$pg_dir/data" -U headway -A md5 --pwfile="$pg_dir/password" \
        -E UTF8 --no-locale --no-sync) >"$pg_dir/log" 2>&1 9>&-; then
        show_log "$pg_dir/log"
        die "initdb has failed"
    fi
    touch "$pg_dir/initialised"
}

postgres_launch() {
    local settings=(
        -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c port="$(<"$pg_dir/port")"
        -c max_connections=200 -c shared_buffers=256MB
        # Commits are measured and servers are killed: durability stays as it is in production.
        -c fsync=on -c synchronous_commit=on -c full_page_writes=on -c autovacuum=on
        # Shared memory as files of the data directory: a killed server leaves none in /dev/shm.
        -c dynamic_shared_memory_type=mmap
        -c timezone=UTC -c log_timezone=UTC
    )
    postgres_exec setsid "$pg_bin/postgres" -D "$pg_dir/data" "${settings[@]}" </dev/null >>"$pg_dir/log" 2>&1 9>&- &
    adopt "$!" "$pg_dir/pid"
}

postgres_alive() { pidfile_alive "$pg_dir/pid"; }

# The eighth line of postmaster.pid is the server's own word on its state.
postgres_says_ready() {
    local lines=()
    mapfile -t lines 2>/dev/null <"$pg_dir/data/postmaster.pid" || return 1
    [[ ${lines[0]:-} == "$(pid_of "$pg_dir/pid")" && ${lines[7]:-} == ready* ]]
}

postgres_ready_or_dead() { postgres_says_ready || ! postgres_alive; }

postgres_await_ready() {
    if ! await "$start_timeout" postgres_ready_or_dead; then
        say "postgresql is not ready after $start_timeout s"
        return 1
    fi
    postgres_alive && postgres_create_database
}

postgres_create_database() {
    [[ -e $pg_dir/created ]] && return 0
    PGPASSWORD=$(<"$pg_dir/password") PGCONNECT_TIMEOUT=10 "$pg_bin/psql" -X -q -h 127.0.0.1 -p "$(<"$pg_dir/port")" \
        -U headway -d postgres -c 'CREATE DATABASE headway' >>"$pg_dir/log" 2>&1 9>&- || return 1
    touch "$pg_dir/created"
}

# At a first start another program may have taken the port meanwhile: then it moves.
postgres_await_or_move() {
    local try
    for try in 1 2 3; do
        postgres_await_ready && return 0
        { ! postgres_alive && grep -q 'could not bind' "$pg_dir/log"; } || break
        say "port $(<"$pg_dir/port") was taken; trying another ($try)"
        choose_port >"$pg_dir/port"
        mv "$pg_dir/log" "$pg_dir/log.$try"
        postgres_launch
    done
    show_log "$pg_dir/log"
    die "postgresql has not started"
}

# Starts it again on the same port and data.
postgres_restart() {
    postgres_alive && return 0
    postgres_choose_user
    postgres_launch
    postgres_await_ready && return 0
    show_log "$pg_dir/log"
    die "postgresql has not started again on port $(<"$pg_dir/port")"
}

postgres_signal_stop() { signal_pidfile "$pg_dir/pid" INT; }

postgres_gone() { ! postgres_alive; }

postgres_await_stop() {
    if ! await "$stop_timeout" postgres_gone; then
        say "postgresql does not stop; killing it"
        postgres_kill
    fi
    # An interrupted initdb is not the server yet.
    signal_marked "HEADWAY_SERVICE_PROCESS=$pg_dir" KILL
    await_gone 5 "HEADWAY_SERVICE_PROCESS=$pg_dir" || say "initdb cannot be killed"
}

postgres_children() {
    local stat state parent rest
    for stat in /proc/[0-9]*/stat; do
        stat=${stat#/proc/}
        read -r state parent rest < <(process_stat "${stat%/stat}") || continue
        [[ $parent == "$1" && $state != Z ]] && echo "${stat%/stat}"
    done
    return 0
}

none_alive() {
    local pid state rest
    for pid in "$@"; do
        read -r state rest < <(process_stat "$pid") || continue
        [[ $state == Z ]] || return 1
    done
}

# The postmaster goes first, so that it cannot replace its children.
postgres_kill() {
    postgres_alive || return 0
    local pid children=() memory=()
    pid=$(pid_of "$pg_dir/pid")
    mapfile -t memory < <(sed -n 7p "$pg_dir/data/postmaster.pid" 2>/dev/null)
    kill -STOP "$pid" 2>/dev/null || true
    mapfile -t children < <(postgres_children "$pid")
    kill -KILL "$pid" "${children[@]}" 2>/dev/null || true
    await 10 none_alive "$pid" "${children[@]}" || die "postgresql cannot be killed"
    # The small System V segment that marks the data directory as used outlives a killed server.
    [[ ${memory[0]:-} =~ ([0-9]+)\ *$ ]] && ipcrm -m "${BASH_REMATCH[1]}" 2>/dev/null
    return 0
}

postgres_url() {
    echo "postgres://headway:$(<"$pg_dir/password")@127.0.0.1:$(<"$pg_dir/port")/headway"
}
