#!/usr/bin/env bash
# Train a translator in minutes: train on the embedded English-German corpus, score held-out sentences, translate a few
# of them and draw the attention. Run the script again to resume, or to show the results.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
environment plots
seq2seq=.venv/bin/seq2seq
run=runs/demo

$seq2seq train experiment=demo run_dir=$run

echo
echo "BLEU on 500 held-out sentences (data/embedded/test):"
$seq2seq evaluate checkpoint=$run source=data/embedded/test.en reference=data/embedded/test.de

echo
echo "A few of them, translated:"
head -n 5 data/embedded/test.en >$run/few.en
$seq2seq translate checkpoint=$run input=$run/few.en output=$run/few.de
paste -d '\n' $run/few.en $run/few.de | sed 'n; s/^/  -> /'

echo
echo "Where the model looked, word by word:"
awk 'NF > 6 && NF < 11 { print; exit }' $run/few.en data/embedded/test.en >$run/one.en
$seq2seq plot checkpoint=$run input=$run/one.en output_format=text
echo "The same as a picture:"
$seq2seq plot checkpoint=$run input=$run/one.en output=$run/pictures

cat <<NEXT

What to type next:
  source .venv/bin/activate
  echo "The old farmer bought two books yesterday." | seq2seq translate checkpoint=$run
  seq2seq train experiment=demo model/attention=luong2015_global       # another attention: one word
  seq2seq train experiment=demo model/attention/score=cosine           # or one part of it
  seq2seq train data.train=PREFIX data.valid=PREFIX data.source_lang=en data.target_lang=de   # your own corpus
  seq2seq train --help                                                 # all options and choices
NEXT
