"""Lower-case and tokenise the Greek-English New Testament for aligners, and score their links between its words.

    seq2seq fetch package:bible-alignments output=bible
    python scripts/bible_tokens.py make bible tokens
    ... align tokens/all.grc and tokens/all.en, which end with the test verses, line by line ...
    python scripts/bible_tokens.py score bible links

Every aligner gets the same tokens: those of train and test, and no link. `score` takes its links `i-j` of all verses,
or of the test verses alone, turns them into links between the words that the tokens belong to, and prints their
agreement with the manual links of the test verses.
"""

import argparse
import re
from pathlib import Path

from seq2seq.inference.alignment import agreement, read_gold
from seq2seq.text.word_alignments import read_links

SIDES = ("grc", "en")


def read(path: Path) -> list[str]:
    """The lines of a file."""
    return path.read_text(encoding="utf-8").splitlines()


def tokens(line: str) -> list[tuple[str, int]]:
    """The tokens of a line, each with the number of its word: letters and digits, or one other character."""
    return [
        (token, number)
        for number, word in enumerate(line.split())
        for token in re.findall(r"\w+(?:['’]\w+)*|[^\w\s]", word.lower())
    ]


def make(bible: Path, output: Path) -> None:
    """Write train, valid, test, and `all`, which is train and then test."""
    output.mkdir(parents=True, exist_ok=True)
    for side in SIDES:
        texts = {part: read(bible / f"{part}.{side}") for part in ("train", "valid", "test")}
        for part, lines in {**texts, "all": texts["train"] + texts["test"]}.items():
            written = (" ".join(token for token, _ in tokens(line)) for line in lines)
            (output / f"{part}.{side}").write_text("".join(f"{line}\n" for line in written), encoding="utf-8")


def score(bible: Path, links: Path) -> None:
    """Print the agreement of links between tokens with the manual links between words."""
    verses = list(zip(*(read(bible / f"test.{ending}") for ending in (*SIDES, "align")), strict=True))
    lines = read(links)[-len(verses) :]
    found, gold = [], []
    for number, ((source, target, manual), line) in enumerate(zip(verses, lines, strict=True), 1):
        words = [[word for _, word in tokens(side)] for side in (source, target)]
        token_links = read_links(line, f"{links}, test verse {number}")
        found.append(sorted({(words[0][i], words[1][j]) for i, j in token_links}))
        gold.append(read_gold(manual, 0, f"{bible}/test.align:{number}"))
    print(agreement(found, gold))


def main() -> None:
    """Make tokens, or score links."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["make", "score"])
    parser.add_argument("bible", type=Path, help="what `seq2seq fetch` made")
    parser.add_argument("other", type=Path, help="directory for tokens, or file of links")
    options = parser.parse_args()
    {"make": make, "score": score}[options.action](options.bible, options.other)


if __name__ == "__main__":
    main()
