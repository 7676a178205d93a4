#!/bin/sh
# Trains on all GPUs of this machine, one process each; arguments are options of `cli.py fit`:
#   bash scripts/gpu.sh --config configs/digits.yaml
#   bash scripts/gpu.sh --config configs/digits.yaml --trainer.devices 1
# On several machines without Slurm, start torchrun on each machine, with the same HOST:
#   torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 cli.py fit --config configs/digits.yaml
set -e
CDPATH='' cd -- "$(dirname -- "$0")/.."
exec python cli.py fit "$@" --config configs/presets/ddp.yaml --trainer.accelerator gpu
