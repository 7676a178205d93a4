#!/usr/bin/env bash
# Slurm cluster on one Debian machine, without systemd: munge, slurmctld, and a slurmd for each of two nodes.
#
#   cluster.sh up DIR      installs missing packages, writes the configuration to DIR and starts the daemons
#   cluster.sh down DIR    cancels all jobs and stops the daemons
#
# sbatch, srun and squeue use it if SLURM_CONF=DIR/slurm.conf. If started by root, each node has its own host name;
# otherwise, set MASTER_ADDR=127.0.0.1. Processors and memory are only counted, not enforced. Jobs of the partition
# `urgent` preempt those of `main`.
set -euo pipefail
action=$1 dir=$2 nodes=2
export PATH=$PATH:/usr/sbin:/sbin SLURM_CONF=$dir/slurm.conf

install() {
    local missing=() pair
    for pair in munged:munge slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client; do
        command -v "${pair%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    apt-get -qq -o DPkg::Lock::Timeout=300 update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 install "${missing[@]}"
}

free_port() {  # print the first of several free ports, so that two clusters can run on one machine
    local port i
    for ((port = 17000 + RANDOM % 10000; ; port += 10)); do
        for ((i = 0; i <= nodes; i++)); do ! (: <"/dev/tcp/127.0.0.1/$((port + i))") 2>/dev/null || continue 2; done
        echo "$port" && return
    done
}

configure() {
    local i port
    port=$(free_port)
    (umask 022 && mkdir -p "$dir"/{munge,ctld,log,run})  # munged rejects directories that others can write to
    (umask 077 && head -c 1024 /dev/urandom >"$dir/munge/key")
    { grep -vE '\snode[0-9]+$' /etc/hosts || true; for ((i = 1; i <= nodes; i++)); do echo "127.0.1.$i node$i"; done; } >"$dir/hosts"
    # Newer versions need a cgroup plugin unless it is disabled; older versions do not have the setting.
    slurmctld -V | grep -qE ' 2[0-3][.]' || echo CgroupPlugin=disabled >"$dir/cgroup.conf"
    cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthInfo=socket=$dir/munge/socket,cred_expire=5
StateSaveLocation=$dir/ctld
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdSpoolDir=$dir/spool-%n
SlurmdPidFile=$dir/run/slurmd-%n.pid
SlurmdLogFile=$dir/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=30
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
$(for ((i = 1; i <= nodes; i++)); do
    echo "NodeName=node$i NodeAddr=127.0.1.$i Port=$((port + i)) CPUs=4 RealMemory=1048576"
done)
PartitionName=main Nodes=ALL Default=YES State=UP PriorityTier=1 GraceTime=30
PartitionName=urgent Nodes=ALL State=UP PriorityTier=10 PreemptMode=OFF
CONF
}

up() {
    local i start
    install
    configure
    munged --socket="$dir/munge/socket" --key-file="$dir/munge/key" --log-file="$dir/log/munged.log" \
        --pid-file="$dir/run/munged.pid" --seed-file="$dir/munge/seed"
    slurmctld
    for ((i = 1; i <= nodes; i++)); do
        mkdir -p "$dir/spool-node$i"
        start=(slurmd -N "node$i")
        # shellcheck disable=SC2016
        if unshare --mount --uts true 2>/dev/null; then
            start=(unshare --mount --uts --propagation slave sh -ec
                'mount --bind "$1" /etc/hosts; hostname "$2"; exec slurmd -N "$2"' - "$dir/hosts" "node$i")
        fi
        "${start[@]}"
    done
    for i in {1..150}; do
        [ "$(sinfo -h -N -t idle -o %n 2>/dev/null | sort -u | wc -l)" != "$nodes" ] || return 0
        sleep 0.2
    done
    echo "the nodes are not usable after 30 s: see $dir/log" >&2
    return 1
}

down() {
    local i pid
    squeue -h -o %A 2>/dev/null | sort -u | xargs -r scancel 2>/dev/null || true
    for i in {1..50}; do [ -n "$(squeue -h 2>/dev/null)" ] || break; sleep 0.2; done
    for pid in "$dir"/run/*.pid; do kill "$(cat "$pid")" 2>/dev/null || true; done
}

"$action"
