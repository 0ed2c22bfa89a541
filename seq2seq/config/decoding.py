"""Options of decoding: beam search or sampling, lengths, penalties, unknown words."""

from collections.abc import Iterator
from dataclasses import dataclass

from seq2seq.config.schema import choice, number


@dataclass
class Decoding:
    """How translations are found."""

    beam_size: int = number(5, ge=1, le=1 << 16)
    """Hypotheses in the beam. 1 is greedy search, the default of `train`; other commands have 5."""
    batch_size: int = number(64, ge=1, le=1 << 20)
    """Sentences in a batch."""
    n_best: int = number(1, ge=1, le=1 << 16)
    """Translations to return for each sentence."""
    search: str = choice("beam", "sample")
    """Beam search, or n_best ancestral samples in the order of sampling."""
    length_normalisation: str = choice("wu", "average", "none")
    """How hypotheses of different lengths are compared: by Wu's length penalty, by average log-probability, or by the
    sum."""
    length_penalty: float = number(1.0, ge=0)
    """Wu's α: higher values favour longer translations."""
    coverage_penalty: float = number(0.0, ge=0)
    """Wu's β: higher values penalise hypotheses that leave source positions unattended."""
    max_length: int | None = number(None, ge=1)
    """Maximum output tokens, EOS included. null: the longest target that the model was trained on, at least 256."""
    max_length_ratio: float | None = number(None, gt=0, le=1000)
    """Limit each translation to this many times its source's tokens, plus 10. null: 1.5 times the ratio that 99.9
    % of the training pairs stay below, at least 2. Truncated translations are counted and reported."""
    min_length_ratio: float = number(0.0, ge=0, le=1000)
    """Minimum output tokens as a multiple of the source's, EOS included."""
    no_repeat_ngram: int | None = number(None, ge=1)
    """Length of the n-grams that must not occur twice in a translation. null: no restriction."""
    replace_unknown: bool = False
    """Replace each unknown word by the aligned source word, or by its entry in `dictionary`."""
    dictionary: str | None = None
    """File for replace_unknown with a source word, a tab and its translation on each line."""
    shortlist: int | None = number(None, ge=1)
    """Restrict each translation to this many of the most frequent target pieces, plus as many for each source piece,
    as found by `seq2seq shortlist`. null: the whole vocabulary."""
    precision: str = choice("fp32", "bf16", "int8", "auto")
    """Precision of matrix products. `auto` is int8 (on CUDA bf16) if training has measured on at least 500 validation
    sentences that it is at least 1.2 times as fast as fp32 and loses at most 0.1 BLEU, else fp32. It is the default of
    `translate`, `interactive` and `serve`, whereas commands that train or measure use fp32. int8 is for CPUs. On
    Multi30k's 1,000 test sentences (GRU of 512, beam 5) bf16 changes 70 lines and BLEU from 35.81 to 35.68, int8 64
    lines and BLEU to 35.90. About one line in a hundred depends on its batch in bf16, hardly any in int8 (1 of
    12,672)."""
    engine: str = choice("torch", "onnx")
    """What computes the steps of search: torch, or onnxruntime with the graphs that `seq2seq export` puts beside a
    checkpoint. One sentence at a time, onnxruntime is 1.4 to 3 times as fast."""
    temperature: float = number(1.0, gt=0)
    """Temperature of sampling: softmax(logits / temperature)."""
    top_k: int | None = number(None, ge=1)
    """Sample only from the k most probable tokens. null: from all."""
    top_p: float = number(1.0, gt=0, le=1)
    """Sample only from the smallest set of tokens with this much probability in total (Holtzman 2020)."""
    seed: int = number(1, ge=0)
    """Seed of sampling. Samples depend only on the seed and the line number."""

    def problems(self) -> Iterator[str]:
        """Yield an error for each option without effect and for bounds that cross."""
        if self.search == "beam":
            yield from self._beam_problems()
        if self.max_length_ratio is not None and self.min_length_ratio > self.max_length_ratio:
            yield (
                f"decoding.min_length_ratio={self.min_length_ratio} and decoding.max_length_ratio="
                f"{self.max_length_ratio}: the least is more than the most. Lower decoding.min_length_ratio."
            )
        if self.engine == "onnx" and self.precision == "bf16":
            yield (
                "decoding.engine=onnx and decoding.precision=bf16: graphs are exported in fp32 or int8. Use one of "
                "these, or decoding.engine=torch."
            )
        if self.dictionary is not None and not self.replace_unknown:
            yield (
                f"decoding.dictionary={self.dictionary} and decoding.replace_unknown=false: the dictionary is for "
                "unknown words. Use decoding.replace_unknown=true."
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
                    "Use decoding.search=sample."
                )
