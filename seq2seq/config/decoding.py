"""The search for translations: beam or samples, lengths, penalties, unknown words."""

from collections.abc import Iterator
from dataclasses import dataclass

from seq2seq.config.schema import choice, number


@dataclass
class Decoding:
    """How sentences are searched for."""

    search: str = choice("beam", "sample")
    """`sample`: n_best ancestral samples, in the order they were drawn; beam_size is not used."""
    beam_size: int = number(5, ge=1, le=1 << 16)
    """1 is greedy search."""
    batch_size: int = number(64, ge=1, le=1 << 20)
    n_best: int = number(1, ge=1, le=1 << 16)
    temperature: float = number(1.0, gt=0)
    """Of sampling: softmax(logits / temperature)."""
    top_k: int | None = number(None, ge=1)
    """Samples come from the k most probable tokens; null: from all."""
    top_p: float = number(1.0, gt=0, le=1)
    """Samples come from the fewest tokens with so much probability together (Holtzman 2020)."""
    seed: int = number(1, ge=0)
    """Of sampling; what is drawn depends on it and on the number of the line alone."""
    length_normalisation: str = choice("wu", "average", "none")
    length_penalty: float = number(1.0, ge=0)
    """Wu's alpha."""
    coverage_penalty: float = number(0.0, ge=0)
    """Wu's beta: hypotheses that leave source positions unattended rank lower."""
    max_length: int | None = number(None, ge=1)
    """Output tokens, EOS included; null: as many as the longest target that the model was trained on, at least 256."""
    max_length_ratio: float | None = number(None, gt=0, le=1000)
    """Every sentence is also limited to so many times its source's tokens, + 10. null: 1.5 times the ratio that 99.9 %
    of the training pairs stay below, at least 2. Translations that a limit cuts off are counted and reported."""
    min_length_ratio: float = number(0.0, ge=0, le=1000)
    """No sentence ends before it has so many times its source's tokens, EOS included."""
    no_repeat_ngram: int | None = number(None, ge=1)
    """No n-gram of so many tokens comes twice in a translation; null: any may."""
    replace_unknown: bool = False
    """Put the aligned source word, or its entry in `dictionary`, where the model says the unknown word."""
    dictionary: str | None = None
    """A file with a source word, a tab and its translation on each line."""
    shortlist: int | None = number(None, ge=1)
    """Only so many of the most frequent target pieces, and so many for each source piece, can be said: those that
    `seq2seq shortlist` found; null: all can."""
    precision: str = choice("fp32", "bf16", "int8")
    """Of the matrix products; int8 is for CPUs. On Multi30k's 1,000 test sentences (GRU of 512, beam 5) bf16 changes 70
    lines, and BLEU from 35.81 to 35.68; int8 64 lines, to 35.90. In bf16 about one line in a hundred depends on its
    batch; in int8 hardly one does (1 of 12,672 comparisons): a row's scale follows fp32 values, which round with it."""

    def problems(self) -> Iterator[str]:
        """What a search does not have, bounds that cross, and a dictionary for nothing."""
        if self.search == "beam":
            yield from self._beam_problems()
        if self.max_length_ratio is not None and self.min_length_ratio > self.max_length_ratio:
            yield (
                f"decoding.min_length_ratio={self.min_length_ratio} and decoding.max_length_ratio="
                f"{self.max_length_ratio}: the least is more than the most. Lower decoding.min_length_ratio."
            )
        if self.dictionary is not None and not self.replace_unknown:
            yield (
                f"decoding.dictionary={self.dictionary} and decoding.replace_unknown=false: the dictionary is for "
                "unknown words. Take decoding.replace_unknown=true."
            )

    def _beam_problems(self) -> Iterator[str]:
        if self.n_best > self.beam_size:
            yield (
                f"decoding.n_best={self.n_best} and decoding.beam_size={self.beam_size}: a beam holds no more "
                "hypotheses than its size. Raise decoding.beam_size."
            )
        for key, value, default in (
            ("temperature", self.temperature, 1.0),
            ("top_k", self.top_k, None),
            ("top_p", self.top_p, 1.0),
        ):
            if value != default:
                yield (
                    f"decoding.{key}={value} and decoding.search=beam: only samples have it. "
                    "Take decoding.search=sample."
                )
