# Processes and ports, read from /proc. A process is remembered by its pid and its start time, so a number that the
# kernel has given to somebody else is never signalled.

# Prints "<state> <parent> <start time>" of pid $1; fails if there is none.
process_stat() {
    local line
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    # The name in parentheses may contain anything: cut behind the last one.
    # shellcheck disable=SC2086
    set -- ${line##*) }
    echo "$1 $2 ${20}"
}

remember_pid() {
    local state parent started
    if read -r state parent started < <(process_stat "$1"); then
        echo "$1 $started" >"$2"
    else
        echo "$1 0" >"$2"
    fi
}

pid_of() {
    local pid started
    read -r pid started <"$1"
    echo "$pid"
}

# A zombie counts as gone: it holds nothing, and only its parent can reap it.
pidfile_alive() {
    local pid started state parent now
    [[ -s $1 ]] && read -r pid started <"$1" || return 1
    read -r state parent now < <(process_stat "$pid") || return 1
    [[ $now == "$started" && $state != Z ]]
}

signal_pidfile() {
    pidfile_alive "$1" || return 0
    kill -s "$2" "$(pid_of "$1")" 2>/dev/null || true
}

# Prints the pids of all processes that were started with the environment entry $1.
marked() {
    local file pid state rest
    for file in $(grep -lzxF -- "$1" /proc/[0-9]*/environ 2>/dev/null); do
        pid=${file#/proc/}
        pid=${pid%/environ}
        read -r state rest < <(process_stat "$pid") || continue
        [[ $state == Z ]] || echo "$pid"
    done
}

signal_marked() {
    local pid
    for pid in $(marked "$1"); do
        kill -s "$2" "$pid" 2>/dev/null || true
    done
}

# Waits at most $1 seconds until command "$@" succeeds.
await() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

none_marked() { [[ -z $(marked "$1") ]]; }
await_gone() { await "$1" none_marked "$2"; }

port_free() {
    local hex
    printf -v hex '%04X' "$1"
    ! grep -qsE "^ *[0-9]+: [0-9A-F]+:$hex [0-9A-F:]+ 0A " /proc/net/tcp /proc/net/tcp6
}

# Prints a port that nobody listens on and that is not in $@. It is below the range from which the kernel gives ports to
# outgoing connections, so it stays free while a service is down.
choose_port() {
    local port
    while :; do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        [[ " $* " == *" $port "* ]] || ! port_free "$port" || break
    done
    echo "$port"
}

# Remembers background job $1 in file $2; the shell says no word when it is killed.
adopt() {
    disown "$1"
    remember_pid "$1" "$2"
}

random_hex() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

show_log() {
    say "the end of $1:"
    tail -n 30 "$1" >&2 || true
}
