#!/bin/sh
# Trains on the CPU of this machine; arguments are options of `cli.py fit`:
#   bash scripts/cpu.sh --config configs/digits.yaml
set -e
CDPATH='' cd -- "$(dirname -- "$0")/.."
exec python cli.py fit "$@" --config configs/presets/cpu.yaml
