"""Measure how well `translate format=html` places tags, by gold word alignments.

    python scripts/tags.py runs/NAME/best [--lines 500] [--seed 1]

Each line of the embedded test set is translated, and those whose translation is the reference are kept, so that the
gold links of the reference hold. One or two pairs of tags are put round one to three random words of the source. A
pair is right if it encloses exactly the target words that the gold links give for its words. The table has a row for
the model's links and one for the gold links, the best that one run of words for each pair can do:

pairs    pairs of tags in all kept lines
exact    share of them that are right
joined   the same among pairs whose gold words are neighbours
overlap  words that a pair encloses in both, by the words of either (F1)
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import NamedTuple

from seq2seq.inference.alignment import Aligner
from seq2seq.inference.forced_scores import with_posterior
from seq2seq.inference.loading import load_translator
from seq2seq.text.markup import Markup
from seq2seq.text.tag_placement import place_tags
from seq2seq.text.word_alignments import Link

CORPUS = Path(__file__).parent.parent / "data/embedded"
TAGS = ("b", "i")
MOST_WORDS = 3


class Pair(NamedTuple):
    """Target words of a pair of tags: those it encloses, and those it should."""

    found: frozenset[int]
    gold: frozenset[int]


def choose_spans(words: int, random: Random) -> list[range]:
    """One or two disjoint runs of words, in order."""
    spans: list[range] = []
    for _ in range(random.choice((1, 2))):
        begin, size = random.randrange(words), random.randint(1, MOST_WORDS)
        span = range(begin, min(begin + size, words))
        if not any(set(span) & set(other) for other in spans):
            spans.append(span)
    return sorted(spans, key=lambda span: span.start)


def mark(words: Sequence[str], spans: Sequence[range]) -> str:
    """The line with a pair of tags round each span."""
    marked = list(words)
    for span, tag in zip(spans, TAGS, strict=False):
        marked[span.start] = f"<{tag}>{marked[span.start]}"
        marked[span.stop - 1] += f"</{tag}>"
    return " ".join(marked)


def enclosed(line: str) -> list[frozenset[int]]:
    """The words in each pair of tags of a translation, in the order of the tags' names."""
    markup, found = Markup.read(line, "html", "translation"), {}
    for tag, _, (begin, end), _ in markup.elements[1:]:
        before = len(markup.text[:begin].split())
        found[tag] = frozenset(range(before, before + len(markup.text[begin:end].split())))
    return [found[tag] for tag in sorted(found)]


def place(
    source: str, target: str, spans: Sequence[range], links: Sequence[Link], gold: Sequence[Link]
) -> Iterator[Pair]:
    """Write the tags by these links, and yield what each pair should enclose by the gold links."""
    line = mark(source.split(), spans)
    markup = Markup.read(line, "html", "source")
    written = place_tags(markup, source.split(), target, target.split(), links)
    for found, span in zip(enclosed(written), spans, strict=True):
        yield Pair(found, frozenset(j for i, j in gold if i in span))


def row(name: str, pairs: Sequence[Pair]) -> str:
    """A row of the table."""
    joined = [pair for pair in pairs if max(pair.gold) - min(pair.gold) < len(pair.gold)]
    exact, exact_joined = (sum(found == gold for found, gold in some) / len(some) for some in (pairs, joined))
    both = sum(len(found & gold) for found, gold in pairs)
    overlap = 2 * both / sum(len(found) + len(gold) for found, gold in pairs)
    return f"{name:8}{len(pairs):6}{exact:9.3f}{exact_joined:9.3f}{overlap:9.3f}"


def main() -> None:
    """Translate, place and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--attention", choices=["prior", "posterior"], default="prior")
    options = parser.parse_args()
    translator = load_translator(options.checkpoint, "auto")
    aligner = Aligner.of(translator, options.attention)
    if aligner is None:
        parser.error(f"{options.checkpoint}: a model without attention has no links; give one with attention")
    texts = [(CORPUS / f"test.{ending}").read_text(encoding="utf-8").splitlines() for ending in ("en", "de", "align")]
    rows = list(islice(zip(*texts, strict=True), options.lines))
    random = Random(options.seed)
    by_model: list[Pair] = []
    by_gold: list[Pair] = []
    translations = translator.translate([source for source, _, _ in rows])
    if options.attention == "posterior":
        translations = with_posterior(translator, translations, 64, "fp32")
    for (source, target, links), translation in zip(rows, translations, strict=True):
        spans = choose_spans(len(source.split()), random)
        if translation.text == target:
            gold = [(int(i), int(j)) for i, _, j in (link.partition("-") for link in links.split())]
            spans = [span for span in spans if any(i in span for i, _ in gold)]
            by_model += place(source, target, spans, aligner.align(translation).with_several().links, gold)
            by_gold += place(source, target, spans, gold, gold)
    print("links    pairs    exact   joined  overlap")
    print(row("model", by_model))
    print(row("gold", by_gold))


if __name__ == "__main__":
    main()
