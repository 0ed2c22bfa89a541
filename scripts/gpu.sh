#!/usr/bin/env bash
# Check the program on a GPU, then measure four models there, in about ten minutes. Without a GPU, the checks run on the
# CPU as a rehearsal, and nothing is measured. Arguments go to pytest. PYTHON=python3 scripts/gpu.sh uses that Python and
# what is installed for it; otherwise the script creates an environment.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -z "${PYTHON:-}" ]; then
    source scripts/environment.sh
    environment tests
    PYTHON=.venv/bin/python
fi
export CUBLAS_WORKSPACE_CONFIG=:4096:8 # without which cuBLAS may give other bits each time
status=0
"$PYTHON" -m pytest -m gpu tests/gpu "$@" || status=$?
if ! "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "There is no GPU here: the checks ran on the CPU, and nothing was measured." >&2
    exit "$status"
fi
# Generated sentences, with the vocabulary of each paper.
for model in "benchmark/model_a 8000" "paper/luong2015 50000" "paper/gnmt 32000" "paper/vaswani2017_base 37000"; do
    read -r experiment size <<<"$model"
    echo "== $experiment"
    "$PYTHON" -m seq2seq benchmark experiment="$experiment" data=null generated.vocab_size="$size" device=cuda \
        measure=[training,memory,decoding] precisions=[fp32,bf16] decode_precisions=[fp32,bf16] decode_beams=[5] \
        decode_batches=[1,256] seconds=5 repeats=1
done
exit "$status"
