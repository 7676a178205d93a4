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
job=$SLURM_JOB_ID restarts=${SLURM_RESTART_COUNT:-0} limit=${MAX_RESTARTS:-100}
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
    job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID  # the bare number of one of the tasks is that of the whole array
    set -- "${@//%a/$SLURM_ARRAY_TASK_ID}"
fi
if scontrol show job "$job" 2>/dev/null | grep -q "Requeue=0"; then
    echo "error: job $job (SLURM_JOB_ID) was submitted with --no-requeue, so it could not go on after preemption" >&2
    exit 2
fi
if [ "$restarts" -gt "$limit" ]; then
    echo "error: job $job was started again more than $limit times (MAX_RESTARTS)" >&2
    exit 1
fi
hold=(env --block-signal=USR1,TERM)  # until Python listens: signals wait for it
"${hold[@]}" true 2>/dev/null || hold=()  # coreutils before 8.31
srun --kill-on-bad-exit=1 ${SLURM_CPUS_PER_TASK:+--cpus-per-task="$SLURM_CPUS_PER_TASK"} \
    "${hold[@]}" python cli.py fit "$@"
code=$?
if [ "$code" -eq 75 ] && [ "$restarts" -lt "$limit" ]; then
    scontrol requeue "$job" && sleep 60  # Slurm ends this script
fi
exit "$code"
