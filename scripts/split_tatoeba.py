"""Split Tatoeba's English-Chinese file into train, valid and test, by English sentence.

    python scripts/split_tatoeba.py cmn.txt.gz tatoeba

The file (from manythings.org/anki, plain or gzip) is sorted by length and has three tab-separated columns: English,
Chinese and an attribution. Many English sentences occur several times with different translations. All translations of
a sentence go to the same part, so no test sentence is in training. Valid and test keep one translation per sentence.
"""

import argparse
import random
from pathlib import Path

from seq2seq.text.corpus import read_lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="the file from manythings.org, plain or .gz")
    parser.add_argument("output", type=Path, help="directory for train.en, train.zh and so on")
    parser.add_argument("--held-out", type=int, default=1000, help="English sentences in each of valid and test")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    translations: dict[str, list[str]] = {}
    for line in read_lines(arguments.table):
        english, chinese, *_ = line.split("\t")
        translations.setdefault(english, []).append(chinese)
    sentences = list(translations)
    random.Random(arguments.seed).shuffle(sentences)
    n = arguments.held_out
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, part, limit in (
        ("valid", sentences[:n], 1),
        ("test", sentences[n : 2 * n], 1),
        ("train", sentences[2 * n :], None),
    ):
        pairs = [(english, chinese) for english in part for chinese in translations[english][:limit]]
        for side, language in enumerate(("en", "zh")):
            text = "".join(f"{pair[side]}\n" for pair in pairs)
            (arguments.output / f"{name}.{language}").write_text(text, encoding="utf-8")
        print(f"{name}: {len(pairs)} pairs")


if __name__ == "__main__":
    main()
