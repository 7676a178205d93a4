#!/usr/bin/env bash
# Checks on your cluster, in about five minutes, that a preempted job resumes and ends with the same bits. Arguments are
# passed to sbatch:
#   bash scripts/check_slurm.sh --nodes=2 --partition=main
# Three small jobs train the digits: one is undisturbed, one gets USR1, one is cancelled. LIMIT=900 limits the seconds.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"  # also called as `sh scripts/check_slurm.sh`
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=experiments/check_slurm/$(date +%Y-%m-%d_%H-%M-%S)
mkdir -p "$folder"
declare -A job state restarts sent
trap 'scancel "${job[@]}" 2>/dev/null' EXIT

for name in whole preempted cancelled; do
    job[$name]=$(sbatch --parsable --output="$folder/$name.out" "$@" scripts/slurm.sh --config configs/digits.yaml \
        --root "$folder" --name $name --trainer.max_epochs 40 --trainer.deterministic warn | cut -d';' -f1)
    [ -n "${job[$name]}" ] || exit 1
    state[$name]=PENDING restarts[$name]=0
done

look() {  # update state and restarts of a job; Slurm forgets jobs some minutes after their end
    local shown
    shown=$(scontrol show job "${job[$1]}" 2>/dev/null) || return
    state[$1]=$(sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p' <<<"$shown")
    restarts[$1]=$(sed -n 's/.*Restarts=\([0-9]*\).*/\1/p' <<<"$shown")
}
send() {  # send a signal once, when the job trains
    if [ -z "${sent[$1]:-}" ] && grep -qs "epoch 3/" "$folder/$1.out"; then sent[$1]=1 && scancel "${@:2}" "${job[$1]}"; fi
}
while [[ "${state[*]}" =~ PENDING|CONFIGURING|RUNNING|COMPLETING|REQUEUED|SUSPENDED ]] && [ $SECONDS -lt "${LIMIT:-900}" ]; do
    send preempted --signal=USR1
    send cancelled
    sleep 0.5
    for name in "${!job[@]}"; do look "$name"; done
done

failed=0
report() {  # arguments: description, job, command that checks it
    local said
    if said=$("${@:3}" 2>&1); then echo "ok      $1"; return; fi
    echo "FAILED  $1 (job ${job[$2]} is ${state[$2]}, see $folder/$2.out) $said"
    failed=1
}
report "a job trains to its end" whole test "${state[whole]}" = COMPLETED
report "a job that got USR1 is requeued" preempted test "${restarts[preempted]}" -ge 1
report "it trains to its end" preempted test "${state[preempted]}" = COMPLETED
report "with the same bits, where the processors are of one kind" preempted \
    python scripts/compare_runs.py "$folder/whole" "$folder/preempted"
report "a job that is cancelled ends" cancelled test "${state[cancelled]}" = CANCELLED
report "with its last step saved" cancelled test -f "$folder/cancelled/checkpoints/last.ckpt"
exit $failed
