#!/usr/bin/env bash
# Works on a sweep under Slurm, one worker per task of the array, until all runs are finished:
#   sbatch --array=0-7 scripts/sweep.sh --config configs/digits.yaml --sweep configs/sweeps/lr.yaml
# Options before the script's name are those of sbatch, options after it those of `cli.py sweep`. With --nodes and
# --ntasks-per-node, each run is trained by several processes. A worker that is preempted or reaches the time limit is
# requeued, and resumes its run. MAX_RESTARTS=N limits the number of restarts.
#SBATCH --ntasks-per-node=1
#SBATCH --requeue --open-mode=append
#SBATCH --signal=USR1@120
CLI_STAGE=sweep exec bash scripts/slurm.sh "$@"
