# RabbitMQ of one instance: $rabbit_dir has data, log, home (with the cookie), configuration, pid files and ports.

rabbit_find() {
    local candidate
    rabbit_server=
    # Behind the name in PATH is, on Debian, a wrapper that insists on the system's user and folders.
    for candidate in /usr/lib/rabbitmq/bin/rabbitmq-server /opt/rabbitmq/sbin/rabbitmq-server \
        "$(command -v rabbitmq-server || true)"; do
        [[ -n $candidate && -x $candidate ]] && rabbit_server=$candidate && break
    done
    [[ -n $rabbit_server ]] || die "rabbitmq is not installed: run scripts/install.sh"
    command -v epmd >/dev/null || die "erlang's epmd is not in PATH: run scripts/install.sh"
}

rabbit_choose_ports() {
    local port dist epmd
    port=$(choose_port)
    dist=$(choose_port "$port")
    epmd=$(choose_port "$port" "$dist")
    echo "$port" >"$rabbit_dir/port"
    echo "$dist" >"$rabbit_dir/dist_port"
    echo "$epmd" >"$rabbit_dir/epmd_port"
}

rabbit_prepare() {
    mkdir -p "$rabbit_dir/home" "$rabbit_dir/conf"
    if [[ ! -e $rabbit_dir/home/.erlang.cookie ]]; then
        (umask 077 && random_hex >"$rabbit_dir/home/.erlang.cookie")
        chmod 400 "$rabbit_dir/home/.erlang.cookie"
        echo "headway-$(random_hex | cut -c1-12)@localhost" >"$rabbit_dir/node"
    fi
    local file
    for file in port dist_port epmd_port; do
        if [[ ! -s $rabbit_dir/$file ]] || ! port_free "$(<"$rabbit_dir/$file")"; then
            rabbit_choose_ports
            break
        fi
    done
    rabbit_configure
}

rabbit_configure() {
    cat >"$rabbit_dir/conf/rabbitmq.conf" <<TEXT
listeners.tcp.1 = 127.0.0.1:$(<"$rabbit_dir/port")
loopback_users = none
log.console = false
log.file.level = info
vm_memory_high_watermark.relative = 0.25
disk_free_limit.absolute = 64MB
TEXT
    echo '[].' >"$rabbit_dir/conf/advanced.config"
    echo '[].' >"$rabbit_dir/conf/enabled_plugins"
    : >"$rabbit_dir/conf/rabbitmq-env.conf"
}

# Becomes "$@", marked with $1, with nothing in its environment but what is named here.
rabbit_exec() {
    local mark=$1
    shift
    cd "$rabbit_dir"
    exec env -i --default-signal PATH="$PATH" LC_ALL=C.UTF-8 HOME="$rabbit_dir/home" \
        TMPDIR="$instance_dir/tmp" HEADWAY_SERVICE_PROCESS="$mark" \
        ERL_EPMD_PORT="$(<"$rabbit_dir/epmd_port")" ERL_EPMD_ADDRESS=127.0.0.1 \
        ERL_CRASH_DUMP="$rabbit_dir/erl_crash.dump" \
        RABBITMQ_NODENAME="$(<"$rabbit_dir/node")" \
        RABBITMQ_DIST_PORT="$(<"$rabbit_dir/dist_port")" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
        RABBITMQ_SCHEDULER_BIND_TYPE=u \
        RABBITMQ_CONF_ENV_FILE="$rabbit_dir/conf/rabbitmq-env.conf" \
        RABBITMQ_CONFIG_FILE="$rabbit_dir/conf/rabbitmq.conf" \
        RABBITMQ_ADVANCED_CONFIG_FILE="$rabbit_dir/conf/advanced.config" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$rabbit_dir/conf/enabled_plugins" \
        RABBITMQ_MNESIA_BASE="$rabbit_dir/data" RABBITMQ_MNESIA_DIR="$rabbit_dir/data/node" \
        RABBITMQ_FEATURE_FLAGS_FILE="$rabbit_dir/data/feature_flags" \
        RABBITMQ_GENERATED_CONFIG_DIR="$rabbit_dir/conf/generated" RABBITMQ_SCHEMA_DIR="$rabbit_dir/conf/schema" \
        RABBITMQ_LOG_BASE="$rabbit_dir" RABBITMQ_LOGS="$rabbit_dir/log" \
        RABBITMQ_PID_FILE="$rabbit_dir/data/node.pid" \
        setsid "$@"
}

rabbit_launch() {
    mkdir -p "$rabbit_dir/data"
    # Its own epmd, in the foreground of its own session: an epmd that the node starts would become a daemon.
    if ! pidfile_alive "$rabbit_dir/epmd.pid"; then
        rabbit_exec "$rabbit_dir/epmd" epmd -port "$(<"$rabbit_dir/epmd_port")" -address 127.0.0.1 \
            </dev/null >>"$rabbit_dir/console" 2>&1 9>&- &
        adopt "$!" "$rabbit_dir/epmd.pid"
    fi
    [[ -e $rabbit_dir/log ]] && mv "$rabbit_dir/log" "$rabbit_dir/log.before"
    rabbit_exec "$rabbit_dir" "$rabbit_server" </dev/null >>"$rabbit_dir/console" 2>&1 9>&- &
    adopt "$!" "$rabbit_dir/pid"
}

rabbit_alive() { pidfile_alive "$rabbit_dir/pid"; }

# Its own log says that the boot is over, and the port answers the AMQP greeting with a frame on channel 0.
rabbit_says_ready() {
    # In a burst, as when many queues are recovered, its log drops lines: after a while the greeting has to do.
    grep -qs 'Server startup complete' "$rabbit_dir/log" ||
        (($(date +%s) - $(stat -c %Y "$rabbit_dir/pid") >= 15)) || return 1
    (
        exec 3<>"/dev/tcp/127.0.0.1/$(<"$rabbit_dir/port")" || exit 1
        printf 'AMQP\0\0\011\001' >&3
        [[ $(timeout 2 head -c 3 <&3 | od -An -tx1) == ' 01 00 00' ]]
    ) 2>/dev/null
}

rabbit_ready_or_dead() { ! rabbit_alive || rabbit_says_ready; }

rabbit_await_ready() {
    if ! await "$start_timeout" rabbit_ready_or_dead; then
        say "rabbitmq is not ready after $start_timeout s"
        return 1
    fi
    rabbit_alive
}

rabbit_show_logs() {
    [[ ! -e $rabbit_dir/log ]] || show_log "$rabbit_dir/log"
    show_log "$rabbit_dir/console"
}

# An epmd that is not there any more has found its port taken; the node names its own ports in its log.
rabbit_lost_a_port() {
    ! rabbit_alive || return 1
    ! pidfile_alive "$rabbit_dir/epmd.pid" ||
        grep -qsiE 'eaddrinuse|already.in.use|already_used' "$rabbit_dir/log" "$rabbit_dir/console"
}

# At a first start another program may have taken one of the ports meanwhile: then all three move.
rabbit_await_or_move() {
    local try
    for try in 1 2 3; do
        rabbit_await_ready && return 0
        rabbit_lost_a_port || break
        say "a port of rabbitmq was taken; trying others ($try)"
        rabbit_await_stop
        rabbit_choose_ports
        rabbit_configure
        mv "$rabbit_dir/console" "$rabbit_dir/console.$try"
        rabbit_launch
    done
    rabbit_show_logs
    die "rabbitmq has not started"
}

# Starts it again on the same ports and data.
rabbit_restart() {
    rabbit_alive && return 0
    rabbit_launch
    rabbit_await_ready && return 0
    rabbit_show_logs
    die "rabbitmq has not started again on port $(<"$rabbit_dir/port")"
}

# The node's start script passes SIGTERM on to the node, which then stops in order.
rabbit_signal_stop() { signal_pidfile "$rabbit_dir/pid" TERM; }

rabbit_await_stop() {
    if ! await_gone "$stop_timeout" "HEADWAY_SERVICE_PROCESS=$rabbit_dir"; then
        say "rabbitmq does not stop; killing it"
    fi
    rabbit_kill
    signal_marked "HEADWAY_SERVICE_PROCESS=$rabbit_dir/epmd" TERM
    if ! await_gone 5 "HEADWAY_SERVICE_PROCESS=$rabbit_dir/epmd"; then
        signal_marked "HEADWAY_SERVICE_PROCESS=$rabbit_dir/epmd" KILL
        await_gone 5 "HEADWAY_SERVICE_PROCESS=$rabbit_dir/epmd" || say "epmd cannot be killed"
    fi
}

rabbit_kill() {
    signal_marked "HEADWAY_SERVICE_PROCESS=$rabbit_dir" KILL
    await_gone 10 "HEADWAY_SERVICE_PROCESS=$rabbit_dir" || die "rabbitmq cannot be killed"
}

rabbit_url() {
    echo "amqp://guest:guest@127.0.0.1:$(<"$rabbit_dir/port")/%2f"
}

# Stops the replica of quorum queue $1 in the default virtual host: with one node, the queue is without a leader then.
rabbit_stop_queue() {
    local ctl=${rabbit_server%-server}ctl
    [[ $1 =~ ^[A-Za-z0-9._-]+$ ]] || die "'$1' is not the name of a queue"
    cd "$rabbit_dir"
    env -i PATH="$PATH" LC_ALL=C.UTF-8 HOME="$rabbit_dir/home" \
        ERL_EPMD_PORT="$(<"$rabbit_dir/epmd_port")" ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_CONF_ENV_FILE="$rabbit_dir/conf/rabbitmq-env.conf" RABBITMQ_NODENAME="$(<"$rabbit_dir/node")" \
        "$ctl" -n "$(<"$rabbit_dir/node")" eval "ra:stop_server(quorum_queues, {'%2F_$1', node()})."
}
