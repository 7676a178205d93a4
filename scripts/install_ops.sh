#!/bin/sh
# Builds the C++ and CUDA operations, which otherwise happens when one is first called.
#   bash scripts/install_ops.sh
set -e
CDPATH='' cd -- "$(dirname -- "$0")/.."
exec python -m ops build "$@"
