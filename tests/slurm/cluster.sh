#!/usr/bin/env bash
# A real Slurm of two nodes on this machine, from Debian's packages, for tests/slurm.
#   tests/slurm/cluster.sh start [accounting]|stop|status     (as root; start installs what is
#                                                             missing)
# With `accounting` the jobs are recorded in a database (slurmdbd on MariaDB), and sacct answers;
# without, as on many small clusters, sacct would hang. Stop before starting the other kind.
# Debian's slurmd takes a node's name (-N), so that each node is a slurmd with a port of its own.
# Everything it writes lies in $WITW_SLURM_DIR (default /tmp/witw-slurm) but for links in
# /etc/slurm: Snakemake's job steps drop SLURM_CONF from the environment, so the configuration must
# be where Slurm looks by itself. A Slurm that is configured there already is left alone.
set -euo pipefail

DIR=${WITW_SLURM_DIR:-/tmp/witw-slurm}
ETC=/etc/slurm
NODES=(witw1 witw2)
unset SLURM_CONF
# Debian keeps the daemons where a user's PATH does not look.
PATH=$PATH:/usr/sbin:/sbin

die() {
    echo "cluster.sh: $*" >&2
    exit 1
}

install_packages() {
    local missing=0 program
    local programs=(slurmctld slurmd sbatch munged) packages=(slurmctld slurmd slurm-client munge)
    if ((ACCOUNTING)); then
        programs+=(slurmdbd mariadbd)
        packages+=(slurmdbd mariadb-server)
    fi
    for program in "${programs[@]}"; do
        command -v "$program" > /dev/null || missing=1
    done
    ((missing)) || return 0
    command -v apt-get > /dev/null || die "Slurm is not installed and there is no apt-get."
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends \
        "${packages[@]}" > "$DIR/apt.log" 2>&1 < /dev/null ||
        die "apt-get failed; see $DIR/apt.log."
}

write_config() {
    local host cpus memory accounting=""
    host=$(hostname -s)
    # Each node declares what the profile's largest job asks for at its third try, whatever the machine has
    # (config_overrides): what is tested is that resources are asked for and accounted.
    cpus=$(nproc)
    memory=$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
    ((cpus >= 8)) || cpus=8
    ((memory >= 72000)) || memory=72000
    mkdir -p "$DIR/state" "${NODES[@]/#/$DIR/spool.}"
    touch "$DIR/gpu0"
    cat > "$DIR/gres.conf" << EOF
Name=gpu File=$DIR/gpu0
EOF
    # No systemd and no cgroups are needed: linuxproc tracks jobs by process tree, and
    # OverMemoryKill enforces --mem by sampling. Finished jobs are recorded in jobs.txt for good, by
    # `scontrol show job` for MinJobAge seconds, and with accounting in the database.
    # cred_expire is also how long a requeued job waits before it starts again [s].
    ((ACCOUNTING)) && accounting="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819
AccountingStoragePass=$DIR/munge/socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment"
    cat > "$DIR/slurm.conf" << EOF
ClusterName=witw
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$DIR/munge/socket,cred_expire=10
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool.%n
SlurmctldPidFile=$DIR/slurmctld.pid
SlurmdPidFile=$DIR/slurmd.%n.pid
SlurmctldLogFile=$DIR/slurmctld.log
SlurmdLogFile=$DIR/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/filetxt
JobCompLoc=$DIR/jobs.txt
MinJobAge=600
$accounting
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=witw[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[16821-16822] CPUs=$cpus RealMemory=$memory Gres=gpu:1
PartitionName=main Nodes=witw[1-2] Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=witw[1-2] MaxTime=INFINITE State=UP
EOF
    mkdir -p "$ETC"
    ln -sfn "$DIR/slurm.conf" "$ETC/slurm.conf"
    ln -sfn "$DIR/gres.conf" "$ETC/gres.conf"
}

# A database of our own on a port and a socket of its own, and slurmdbd, which keeps the records.
start_accounting() {
    local sql="$DIR/mariadb" password
    if ! running mariadbd "$sql/pid"; then
        rm -rf "$sql"
        install -d -o mysql -g mysql "$sql"
        mariadb-install-db --no-defaults --user=mysql --datadir="$sql/data" \
            --auth-root-authentication-method=normal > "$DIR/mariadb.log" 2>&1
        mariadbd --no-defaults --user=mysql --datadir="$sql/data" --socket="$sql/socket" \
            --pid-file="$sql/pid" --bind-address=127.0.0.1 --port=16820 \
            --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 \
            >> "$DIR/mariadb.log" 2>&1 < /dev/null &
        for _ in $(seq 100); do
            [[ -S $sql/socket ]] && break
            sleep 0.1
        done
        password=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
        mariadb --no-defaults --socket="$sql/socket" --user=root << EOF
CREATE USER slurm@localhost IDENTIFIED BY '$password';
GRANT ALL ON slurm_acct_db.* TO slurm@localhost;
EOF
        (umask 077 && cat > "$DIR/slurmdbd.conf") << EOF
AuthType=auth/munge
AuthInfo=socket=$DIR/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=16819
SlurmUser=root
LogFile=$DIR/slurmdbd.log
PidFile=$DIR/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=16820
StorageUser=slurm
StoragePass=$password
EOF
    fi
    ln -sfn "$DIR/slurmdbd.conf" "$ETC/slurmdbd.conf"
    running slurmdbd "$DIR/slurmdbd.pid" || slurmdbd < /dev/null > /dev/null 2>&1
    for _ in $(seq 100); do
        sacctmgr --immediate --quiet add cluster witw > /dev/null 2>&1 && break
        [[ -n $(sacctmgr --noheader show cluster witw 2> /dev/null) ]] && break
        sleep 0.2
    done
}

# ours: whether the configuration that Slurm finds is this script's, or there is none.
ours() {
    [[ $(readlink "$ETC/slurm.conf") == "$DIR/slurm.conf" ||
        ! -e $ETC/slurm.conf ]]
}

# slurmds_run: whether every node's slurmd lives.
slurmds_run() {
    local node
    for node in "${NODES[@]}"; do
        running slurmd "$DIR/slurmd.$node.pid" || return 1
    done
}

# running NAME PIDFILE: whether the process that PIDFILE names lives and is NAME.
running() {
    [[ -r $2 && $(cat "/proc/$(cat "$2")/comm" 2> /dev/null) == "$1" ]]
}

start_munge() {
    running munged "$DIR/munge/pid" && return
    mkdir -p "$DIR/munge"
    [[ -s $DIR/munge/key ]] || head -c 128 /dev/urandom > "$DIR/munge/key"
    chown -R munge: "$DIR/munge"
    # Clients of every user connect to the socket, so the folder is open to them; the key is not.
    chmod 755 "$DIR/munge"
    chmod 400 "$DIR/munge/key"
    setpriv --reuid munge --regid munge --clear-groups munged \
        --key-file="$DIR/munge/key" --socket="$DIR/munge/socket" --pid-file="$DIR/munge/pid" \
        --log-file="$DIR/munge/log" --seed-file="$DIR/munge/seed" < /dev/null
}

start() {
    local node up
    ((EUID == 0)) || die "start needs root (munge, slurmctld and slurmd are installed and started)."
    ours || die "$ETC/slurm.conf is another Slurm's; the tests run on that one."
    mkdir -p "$DIR"
    chmod 755 "$DIR"
    install_packages
    if ! running slurmctld "$DIR/slurmctld.pid" || ! slurmds_run; then
        write_config
        start_munge
        ((ACCOUNTING)) && start_accounting
        running slurmctld "$DIR/slurmctld.pid" || slurmctld < /dev/null > /dev/null 2>&1
        for node in "${NODES[@]}"; do
            running slurmd "$DIR/slurmd.$node.pid" || slurmd -N "$node" < /dev/null > /dev/null 2>&1
        done
    fi
    for _ in $(seq 60); do
        up=$(sinfo -h -N -p main -t idle,mixed,allocated -o %N 2> /dev/null | wc -l)
        if ((up == ${#NODES[@]})); then
            echo "cluster.sh: Slurm is up; its records and logs are in $DIR"
            return
        fi
        sleep 0.5
    done
    tail -n 20 "$DIR"/slurmctld.log "$DIR"/slurmd.*.log >&2 || true
    die "the nodes are not up after 30 s; their logs are in $DIR."
}

# stop_one NAME PIDFILE: end what PIDFILE names, if it is what was started.
stop_one() {
    running "$1" "$2" || return 0
    local pid
    pid=$(cat "$2")
    kill "$pid"
    for _ in $(seq 100); do
        [[ -d /proc/$pid ]] || return 0
        sleep 0.1
    done
    # slurmd waits for a controller that is gone; it is ours, and its jobs are cancelled.
    kill -KILL "$pid"
}

stop() {
    local node
    ((EUID == 0)) || die "stop needs root."
    # Jobs outlive slurmd, so they are cancelled first.
    if running slurmctld "$DIR/slurmctld.pid"; then
        scancel --state=PENDING --state=RUNNING --user="$(id -un)" 2> /dev/null || true
    fi
    for node in "${NODES[@]}"; do
        stop_one slurmd "$DIR/slurmd.$node.pid"
    done
    stop_one slurmctld "$DIR/slurmctld.pid"
    stop_one slurmdbd "$DIR/slurmdbd.pid"
    stop_one mariadbd "$DIR/mariadb/pid"
    stop_one munged "$DIR/munge/pid"
    # The state would bring back old jobs under old numbers; records and logs stay.
    rm -rf "$DIR/state" "$DIR"/spool.* "$DIR/mariadb"
    if ours; then rm -f "$ETC/slurm.conf" "$ETC/gres.conf" "$ETC/slurmdbd.conf"; fi
    echo "cluster.sh: Slurm is stopped; its logs are in $DIR"
}

status() {
    running slurmctld "$DIR/slurmctld.pid" || die "not running."
    sinfo
    squeue
}

ACCOUNTING=0
case ${1:-}:${2:-} in
    start:accounting) ACCOUNTING=1 && start ;;
    start: | stop: | status:) "$1" ;;
    *) die "usage: cluster.sh start [accounting]|stop|status" ;;
esac
