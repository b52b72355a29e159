#!/usr/bin/env bash
# Private PostgreSQL and RabbitMQ for tests, the demo and the bench.
#
# Everything an instance has (data, configuration, logs, cookie, pid files) is in one folder,
# $HEADWAY_RUN_DIR/services/<instance>; its servers listen on loopback ports that were free at its start.
# It never looks at, uses or stops a server of the system.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
script="$repository/scripts/services.sh"
start_timeout=60 # seconds, for each service
stop_timeout=20  # seconds of polite waiting before SIGKILL

# shellcheck source=scripts/lib/processes.sh
. "$repository/scripts/lib/processes.sh"
# shellcheck source=scripts/lib/postgres.sh
. "$repository/scripts/lib/postgres.sh"
# shellcheck source=scripts/lib/rabbit.sh
. "$repository/scripts/lib/rabbit.sh"

usage() {
    cat <<'TEXT'
usage: scripts/services.sh [--instance NAME] COMMAND

  start                 start PostgreSQL and RabbitMQ (instance "default"), wait until both are ready
  stop [--all]          stop both; --all: those of every instance in the run directory
  status                say what runs; exit status 0 if both do, 3 otherwise
  env                   print the variables of a started instance, for `eval`
  run CMD [ARG...]      start both in a fresh instance, run CMD with their addresses in its environment, stop both and
                        delete their data, whatever happens; the exit status is CMD's. Where HEADWAY_TEST_DATABASE_URL and
                        HEADWAY_TEST_AMQP_URL are set already, CMD runs with those and nothing is started
  kill-rabbit           SIGKILL RabbitMQ          kill-postgres    SIGKILL PostgreSQL
  stop-rabbit           stop RabbitMQ in order    stop-postgres    stop PostgreSQL in order
  start-rabbit          start it again, on the ports and data that it had
  start-postgres        the same for PostgreSQL
  stop-queue NAME       take a quorum queue of RabbitMQ its leader: it exists, and answers nobody
  wipe-rabbit           SIGKILL RabbitMQ and delete all its data; start-rabbit starts an empty one

environment
  HEADWAY_RUN_DIR             where instances live (default: .run in the repository)
  HEADWAY_SERVICES_INSTANCE   the same as --instance

`run` and `env` give
  HEADWAY_TEST_DATABASE_URL   postgres://...
  HEADWAY_TEST_AMQP_URL       amqp://...
  HEADWAY_TEST_SERVICES       one executable path, bound to this instance: "$HEADWAY_TEST_SERVICES" kill-rabbit
and `run` sets TMPDIR to a folder of the instance, so that killed programs leave nothing elsewhere.
TEXT
}

say() { printf 'services: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

# Sets the paths of instance $1.
select_instance() {
    [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9_-]{0,40}$ ]] || die "instance name '$1' is not made of letters, digits, '-' and '_' (at most 41)"
    instance=$1
    instance_dir="$services_dir/$instance"
    control="$instance_dir/control"
    pg_dir="$instance_dir/postgres"
    rabbit_dir="$instance_dir/rabbit"
}

# Changes of one instance happen one after the other. The lock ends with this process; services do not inherit it.
lock_instance() {
    exec 9>"$instance_dir/lock"
    flock -w "$((start_timeout + stop_timeout))" 9 || die "instance '$instance' is being changed by another process"
}

need_instance() {
    [[ -e $control ]] || die "there is no instance '$instance' in $services_dir: start it first"
}

write_control() {
    printf '#!/usr/bin/env bash\nHEADWAY_RUN_DIR=%q HEADWAY_SERVICES_INSTANCE=%q exec %q "$@"\n' \
        "$run_dir" "$instance" "$script" >"$control"
    chmod 755 "$control"
}

start_both() {
    mkdir -p "$instance_dir/tmp"
    lock_instance
    postgres_find
    rabbit_find
    write_control
    # RabbitMQ boots while PostgreSQL makes its data directory.
    rabbit_alive || { rabbit_prepare && rabbit_launch; }
    postgres_alive || { postgres_prepare && postgres_launch; }
    postgres_await_or_move
    rabbit_await_or_move
    exec 9>&-
}

# Stops both at the same time; never fails half way.
stop_both() {
    [[ -d $instance_dir ]] || return 0
    lock_instance
    rabbit_signal_stop
    postgres_signal_stop
    postgres_await_stop
    rabbit_await_stop
    exec 9>&-
}

print_env() {
    printf 'export HEADWAY_TEST_DATABASE_URL=%q\n' "$(postgres_url)"
    printf 'export HEADWAY_TEST_AMQP_URL=%q\n' "$(rabbit_url)"
    printf 'export HEADWAY_TEST_SERVICES=%q\n' "$control"
}

print_status() {
    local result=0
    if postgres_alive; then
        echo "$instance: postgresql runs on 127.0.0.1:$(<"$pg_dir/port"), pid $(pid_of "$pg_dir/pid"), log $pg_dir/log"
    else
        echo "$instance: postgresql is stopped"
        result=3
    fi
    if rabbit_alive; then
        echo "$instance: rabbitmq runs on 127.0.0.1:$(<"$rabbit_dir/port"), pid $(pid_of "$rabbit_dir/pid"), log $rabbit_dir/log"
    else
        echo "$instance: rabbitmq is stopped"
        result=3
    fi
    return "$result"
}

# Removes what runs that were killed with SIGKILL, or that failed, have left behind.
remove_stale_runs() {
    local dir current=$instance
    for dir in "$services_dir"/run-*/; do
        [[ -e ${dir}owner ]] || continue
        pidfile_alive "${dir}owner" && continue
        select_instance "$(basename "$dir")"
        end_leftovers
        stop_both
        rm -rf "$instance_dir"
    done
    select_instance "$current"
}

# --- run ------------------------------------------------------------------------------------------

interrupted=0 # exit status that a signal asks for

on_signal() {
    interrupted=$1
    # Ctrl-C reaches the whole foreground group, so the command has it too; any other signal is passed on.
    if [[ $2 != INT ]]; then
        signal_marked "HEADWAY_TEST_SERVICES=$control" TERM
    fi
}

# Waits for the command; after a signal it has 5 s to end before it is told to, and 5 more before it is made to.
await_command() {
    local child=$1 status=0
    ((interrupted == 0)) || kill -TERM "$child" 2>/dev/null || true
    wait "$child" || status=$?
    if ((interrupted)); then
        await_gone 5 "HEADWAY_TEST_SERVICES=$control" || true
        return "$interrupted"
    fi
    return "$status"
}

end_leftovers() {
    local mark="HEADWAY_TEST_SERVICES=$control" pid names=()
    for pid in $(marked "$mark"); do
        names+=("$pid ($(cat "/proc/$pid/comm" 2>/dev/null || true))")
    done
    ((${#names[@]})) || return 0
    say "the command has left processes, which are ended now: ${names[*]}"
    signal_marked "$mark" TERM
    await_gone 5 "$mark" && return 0
    signal_marked "$mark" KILL
    await_gone 5 "$mark" || say "some of them cannot be killed"
}

finish_run() {
    local status=$1
    trap '' INT TERM HUP
    trap - EXIT
    end_leftovers
    stop_both
    rm -rf "$pg_dir/data" "$rabbit_dir/data" "$instance_dir/tmp"
    if ((status == 0)); then
        rm -rf "$instance_dir"
    else
        say "logs are kept until the next run: $pg_dir/log $rabbit_dir/log"
    fi
    exit "$status"
}

run_command() {
    (($#)) || { usage >&2; exit 2; }
    if [[ -n ${HEADWAY_TEST_DATABASE_URL:-} && -n ${HEADWAY_TEST_AMQP_URL:-} ]]; then
        say "using the given PostgreSQL and RabbitMQ"
        exec "$@"
    fi
    if [[ -n ${HEADWAY_TEST_DATABASE_URL:-}${HEADWAY_TEST_AMQP_URL:-} ]]; then
        die "set both HEADWAY_TEST_DATABASE_URL and HEADWAY_TEST_AMQP_URL, or none"
    fi
    if postgres_alive || rabbit_alive; then
        die "instance '$instance' runs already: stop it or take another name"
    fi
    remove_stale_runs
    rm -rf "$instance_dir"
    mkdir -p "$instance_dir"
    remember_pid "$$" "$instance_dir/owner"

    trap 'finish_run $?' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    start_both

    trap 'on_signal 130 INT' INT
    trap 'on_signal 143 TERM' TERM
    trap 'on_signal 129 HUP' HUP
    local status=0
    # Background jobs of a script ignore SIGINT and read /dev/null: both are undone here.
    env --default-signal=INT,QUIT,TERM,HUP \
        HEADWAY_TEST_DATABASE_URL="$(postgres_url)" HEADWAY_TEST_AMQP_URL="$(rabbit_url)" \
        HEADWAY_TEST_SERVICES="$control" TMPDIR="$instance_dir/tmp" "$@" <&0 &
    await_command "$!" || status=$?
    exit "$status"
}

# --- main -----------------------------------------------------------------------------------------

run_dir=${HEADWAY_RUN_DIR:-"$repository/.run"}
name=${HEADWAY_SERVICES_INSTANCE:-}
if [[ ${1:-} == --instance ]]; then
    name=${2:?--instance needs a name}
    shift 2
fi
command=${1:-help}
shift || true

case $command in
    help | -h | --help)
        usage
        exit 0
        ;;
    run) name=${name:-run-$$} ;;
esac

mkdir -p "$run_dir/services"
run_dir=$(cd "$run_dir" && pwd -P)
services_dir="$run_dir/services"
select_instance "${name:-default}"

case $command in
    run) run_command "$@" ;;
    start)
        trap 'stop_both' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM HUP
        start_both
        trap - EXIT
        print_status
        ;;
    stop)
        if [[ ${1:-} == --all ]]; then
            for dir in "$services_dir"/*/; do
                [[ -d $dir ]] || continue
                select_instance "$(basename "$dir")"
                stop_both
            done
        else
            stop_both
        fi
        ;;
    status) print_status ;;
    env)
        need_instance
        print_env
        ;;
    kill-rabbit | stop-rabbit | start-rabbit | wipe-rabbit | kill-postgres | stop-postgres | start-postgres)
        need_instance
        lock_instance
        service=${command#*-}
        case $command in
            kill-*) "${service}_kill" ;;
            stop-*) "${service}_signal_stop" && "${service}_await_stop" ;;
            wipe-*) rabbit_kill && rm -rf "$rabbit_dir/data" ;;
            start-*) "${service}_find" && "${service}_restart" ;;
        esac
        ;;
    stop-queue)
        need_instance
        rabbit_find
        rabbit_stop_queue "${1:?a queue}"
        ;;
    *)
        usage >&2
        exit 2
        ;;
esac
