#!/usr/bin/env bash
# Trains under Slurm, a task for each device, and goes on after preemption or the time limit until it is done:
#   sbatch --nodes=2 --ntasks-per-node=8 --gpus-per-node=8 --cpus-per-task=8 scripts/slurm.sh --config configs/digits.yaml
# What stands before the script's name is sbatch's, what stands behind it is cli.py's. %a there is an array's
# task, as in --seed %a. MAX_RESTARTS=N limits how often a job begins anew.
#SBATCH --ntasks-per-node=1
#SBATCH --requeue --open-mode=append
#SBATCH --signal=USR1@120
# Two minutes before the time limit the processes get USR1 (so no `B:`), save, and end with 75.
set -u
[ -z "${SLURM_ARRAY_TASK_ID:-}" ] || set -- "${@//%a/$SLURM_ARRAY_TASK_ID}"  # as in the file names that sbatch knows
if scontrol show job "$SLURM_JOB_ID" 2>/dev/null | grep -q "Requeue=0"; then
    echo "error: job $SLURM_JOB_ID (SLURM_JOB_ID) was submitted with --no-requeue, so it could not go on after preemption" >&2
    exit 2
fi
srun --kill-on-bad-exit=1 ${SLURM_CPUS_PER_TASK:+--cpus-per-task="$SLURM_CPUS_PER_TASK"} \
    python cli.py fit "$@" --config configs/presets/slurm.yaml
code=$?
if [ "$code" -eq 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "${MAX_RESTARTS:-100}" ]; then
    scontrol requeue "$SLURM_JOB_ID" && sleep 60  # Slurm ends this script
fi
exit "$code"
