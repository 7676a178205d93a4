#!/usr/bin/env bash
# Builds the C++ and CUDA operations, which otherwise happens when one is first called.
#   bash scripts/install_ops.sh
set -e
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec python -m ops build "$@"
