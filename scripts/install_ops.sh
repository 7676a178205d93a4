#!/usr/bin/env bash
# Builds the C++ and CUDA operations ahead of time; without it, that is done when one is first used.
#   bash scripts/install_ops.sh
set -e
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec python -m ops build "$@"
