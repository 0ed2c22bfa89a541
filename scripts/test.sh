#!/usr/bin/env bash
# Run the linter, the type checker and the default test suite, in an environment that this script creates. Arguments go to
# pytest: scripts/test.sh -m slow runs the learning tests.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
environment hub,moses,onnx,parquet,plots-cjk,serve,split,tensorboard,tests
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
# One thread for each of two workers: products this small are no faster with more. A file stays with one worker, so that
# what its tests share is made once.
OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadfile "$@"
