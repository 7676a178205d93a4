#!/usr/bin/env bash
# Trains under Slurm with one task per device, and resumes after preemption or the time limit until it is done:
#   sbatch --nodes=2 --ntasks-per-node=8 --gpus-per-node=8 --cpus-per-task=8 scripts/slurm.sh --config configs/digits.yaml
# Options before the script's name are those of sbatch, options after it those of cli.py; there, %a is the task number of
# a job array, as in --seed %a. MAX_RESTARTS=N limits the number of restarts.
#SBATCH --ntasks-per-node=1
#SBATCH --requeue --open-mode=append
#SBATCH --signal=USR1@120
# Two minutes before the time limit, the processes (so no `B:`) get USR1, save a checkpoint, and exit with 75.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"  # also called as `sh scripts/slurm.sh`
set -u
stage=${CLI_STAGE:-fit}  # sweep.sh sets it
start=${CLI_START:-cli.py}  # job.sh sets it
unset CLI_STAGE CLI_START
job=$SLURM_JOB_ID restarts=${SLURM_RESTART_COUNT:-0} limit=${MAX_RESTARTS:-100}
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
    job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID  # one task has the job id of the whole array
    set -- "${@//%a/$SLURM_ARRAY_TASK_ID}"
fi
if scontrol show job "$job" 2>/dev/null | grep -q "Requeue=0"; then
    echo "error: job $job (SLURM_JOB_ID) was submitted with --no-requeue, so it could not resume after preemption" >&2
    exit 2
fi
if [ "$restarts" -gt "$limit" ]; then
    echo "error: job $job was restarted more than $limit times (MAX_RESTARTS)" >&2
    exit 1
fi
hold=(env --block-signal=USR1,USR2,TERM)  # keep signals pending until Python handles them
"${hold[@]}" true 2>/dev/null || hold=()  # not available before coreutils 8.31
srun --kill-on-bad-exit=1 ${SLURM_CPUS_PER_TASK:+--cpus-per-task="$SLURM_CPUS_PER_TASK"} \
    "${hold[@]}" python "$start" "$stage" "$@"
code=$?
if [ "$code" -eq 75 ] && [ "$restarts" -lt "$limit" ]; then
    scontrol requeue "$job" && sleep 60  # Slurm ends this script
fi
exit "$code"
