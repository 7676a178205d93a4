#!/usr/bin/env bash
# Shows on your own cluster, in about five minutes, that a preempted job goes on and ends with the same bits. Options of
# sbatch may follow, as you will use them:
#   bash scripts/check_slurm.sh --nodes=2 --partition=main
# Three small jobs train the digits: one is left alone, one gets USR1, one is cancelled. Each may take LIMIT seconds.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=experiments/check_slurm/$(date +%Y-%m-%d_%H-%M-%S)
mkdir -p "$folder"
limit=$((SECONDS + ${LIMIT:-900}))
failed=0

submit() {  # NAME, sbatch's options: the job's number
    local name=$1
    sbatch --parsable --output="$folder/$name.out" "${@:2}" scripts/slurm.sh --config configs/digits.yaml \
        --root "$folder" --name "$name" --trainer.max_epochs 40 --trainer.deterministic warn | cut -d';' -f1
}

field() { scontrol show job "$1" | tr ' ' '\n' | sed -n "s/^$2=//p"; }  # of a job

until_true() {  # a command, tried until it succeeds or the time is up
    until "$@"; do [ $SECONDS -lt $limit ] && sleep 0.5 || return 1; done
}

trains() { grep -qs "epoch 3/" "$folder/$1.out" || has_ended "$2"; }
has_ended() { [[ $(field "$1" JobState) =~ COMPLETED|FAILED|CANCELLED|TIMEOUT|PREEMPTED|NODE_FAIL|OUT_OF_MEMORY ]]; }
restarted() { [ "$(field "$1" Restarts)" -ge 1 ]; }
ends_as() { until_true has_ended "$1" && [ "$(field "$1" JobState)" = "$2" ]; }

report() {  # what is checked, in which job's output to look, a command
    local said
    if said=$("${@:3}" 2>&1); then echo "ok      $1"; else echo "FAILED  $1 (see $folder/$2.out) $said"; failed=1; fi
}

whole=$(submit whole "$@") && preempted=$(submit preempted "$@") && cancelled=$(submit cancelled "$@")
[ -n "${cancelled:-}" ] || exit 1
until_true trains preempted "$preempted" && scancel --signal=USR1 "$preempted"
until_true trains cancelled "$cancelled" && scancel "$cancelled"
report "a job trains to its end" whole ends_as "$whole" COMPLETED
report "a job that got USR1 is requeued" preempted until_true restarted "$preempted"
report "it trains to its end" preempted ends_as "$preempted" COMPLETED
report "with the same bits, where the processors are of one kind" preempted \
    python scripts/compare_runs.py "$folder/whole" "$folder/preempted"
report "a job that is cancelled ends" cancelled ends_as "$cancelled" CANCELLED
report "with its last step saved" cancelled test -f "$folder/cancelled/checkpoints/last.ckpt"
exit $failed
