#!/usr/bin/env bash
# Align the words of a parallel text with models trained on nothing but this text: one model of each direction, and then
# one more of each that learns from the links of the first two.
#
#   bash scripts/align.sh TEXT SOURCE TARGET OUTPUT [SETTINGS]
#
#   TEXT      the text: TEXT.SOURCE and TEXT.TARGET, a sentence per line
#   SOURCE    the language of its one side, such as en
#   TARGET    the language of its other side, such as de
#   OUTPUT    directory for links.align and the models; run the command again to resume
#   SETTINGS  of the four trainings, such as training.max_epochs=20; configs/experiment/align.yaml has the others
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
if [ $# -lt 4 ]; then
    sed -n '2,/^set/{s/^# \{0,1\}//; /^set/d; p}' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
text=$(realpath -m "$1") source=$2 target=$3 output=$(realpath -m "$4")
shift 4
environment plots
seq2seq=.venv/bin/seq2seq
mkdir -p "$output"
# The text is its own validation set, every fiftieth line of it: a statistical aligner sees the whole text, too.
for side in "$source" "$target"; do
    awk 'NR % 50 == 1' "$text.$side" >"$output/valid.$side"
done

train() {  # DIRECTORY FROM TO SETTINGS
    local directory=$1 from=$2 to=$3
    shift 3
    $seq2seq train experiment=align data.train="$text" data.valid="$output/valid" data.source_lang="$from" \
        data.target_lang="$to" data.cache_dir="$output/cache" run_dir="$output/$directory" "$@"
}
links() {  # FORWARD REVERSE OUTPUT: nothing to do if it is newer than both models
    if [ "$output/$3" -nt "$output/$1/last/model.safetensors" ] && [ "$output/$3" -nt "$output/$2/last/model.safetensors" ]
    then
        return
    fi
    $seq2seq align checkpoint="$output/$1/last" reverse="$output/$2/last" attention=posterior tune=true \
        source="$text.$source" target="$text.$target" output="$output/$3"
}

train first/forward "$source" "$target" "$@"
train first/reverse "$target" "$source" "$@"
links first/forward first/reverse first.align
sed -E 's/([0-9]+)-([0-9]+)/\2-\1/g' "$output/first.align" >"$output/reversed.align"
guide=(training.guided_alignment=0.5 training.learning_rate=1e-3)
train forward "$source" "$target" "${guide[@]}" "$@" data.alignments="$output/first.align" \
    training.start_from="$output/first/forward/last"
train reverse "$target" "$source" "${guide[@]}" "$@" data.alignments="$output/reversed.align" \
    training.start_from="$output/first/reverse/last"
links forward reverse links.align
echo "The links are in $output/links.align"
