"""The options of `seq2seq benchmark`."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from seq2seq.config.data import Data
from seq2seq.config.decoding import Decoding
from seq2seq.config.model import Model
from seq2seq.config.rules import guidance_problems, risk_problems, search_problems, tying_problems
from seq2seq.config.schema import choice, number
from seq2seq.config.training import Training


@dataclass
class Generated:
    """Pairs of sentences to measure speed on: words drawn by Zipf's law."""

    pairs: int = number(20_000, ge=1)
    least_length: int = number(6, ge=2)
    most_length: int = number(30, ge=2)
    """Tokens of a sentence, EOS counted."""
    vocab_size: int = number(8000, ge=8)

    def problems(self) -> Iterator[str]:
        """Bounds that cross."""
        if self.least_length > self.most_length:
            yield (
                f"generated.least_length={self.least_length} and generated.most_length="
                f"{self.most_length}: the least is more than the most. Lower generated.least_length."
            )


_MEASURES = ("training", "memory", "decoding", "startup")


@dataclass
class BenchmarkConfig:
    """`seq2seq benchmark`: the speed of training and decoding beside the machine's, and beside other toolkits'."""

    model: Model
    data: Data | None = None
    """Real text, as in `train`: its test set is translated, or the valid where there is none. null: `generated`."""
    generated: Generated = field(default_factory=Generated)
    training: Training = field(default_factory=Training)
    decoding: Decoding = field(default_factory=Decoding)
    """Its beam_size, batch_size and precision are those of the lists below."""
    checkpoint: str | None = None
    """The model that translates; null: one with fresh weights, whose translations have `forced_length`."""
    measure: list[str] = field(default_factory=lambda: [*_MEASURES], metadata={"choices": _MEASURES})
    growth: bool = False
    """Also tables of the rates against the lengths, batches, beams and vocabularies of generated sentences."""
    precisions: list[str] = field(default_factory=lambda: ["fp32", "bf16"], metadata={"choices": ("fp32", "bf16")})
    """Of training."""
    decode_precisions: list[str] = field(
        default_factory=lambda: ["fp32"], metadata=Decoding.__dataclass_fields__["precision"].metadata
    )
    decode_beams: list[int] = field(default_factory=lambda: [1, 5], metadata={"ge": 1})
    decode_batches: list[int] = field(default_factory=lambda: [1, 16, 64, 256], metadata={"ge": 1})
    decode_sentences: int | None = number(None, ge=1)
    """So many sentences are translated at a time; null: all of them where BLEU or a peer is beside it, else as many as
    there is time for."""
    forced_length: int | None = number(15, ge=1)
    """Tokens of every translation; null: it ends where the model ends it."""
    seconds: float = number(10.0, gt=0)
    """Of measuring for each number, about; warming up comes before."""
    repeats: int = number(5, ge=1)
    """What is compared takes turns so many times; medians are told."""
    threads: int = number(1, ge=1)
    cpu: int | list[int] | None = None
    """The cores to stay on; null: any."""
    peers: str | None = None
    """A directory with train.py and decode.py, which run other toolkits and print JSON. Their data are then ours."""
    peers_work: str | None = None
    """Their work directory, with data/ and an environment for each toolkit."""
    peers_toolkits: list[str] = field(default_factory=lambda: ["opennmt", "joeynmt"])
    peers_precisions: list[str] = field(
        default_factory=lambda: ["highest"], metadata={"choices": ("highest", "high", "medium")}
    )
    """Of their fp32 matrix products, as PyTorch names them."""
    peers_updates: int = number(120, ge=30)
    """Of a measurement of their training, the first 20 for warming up."""
    seed: int = number(1, ge=0)
    device: str = choice("auto", "cpu", "cuda", "mps")

    def problems(self) -> Iterator[str]:
        """Sections that mean nothing together, what can't be measured, and nothing to measure."""
        yield from risk_problems(self.model, self.training)
        yield from self._generated_problems() if self.data is None else self._data_problems(self.data)
        yield from self._peers_problems()
        if self.checkpoint is None and self.forced_length is None and "decoding" in self.measure:
            yield (
                "checkpoint=null and forced_length=null: fresh weights end their translations anywhere. Give "
                "checkpoint=..., or take forced_length=15."
            )
        for key in ("precisions", "decode_precisions", "decode_beams", "decode_batches", "peers_toolkits"):
            if not getattr(self, key):
                yield f"{key}=[]: expected one or more."
        if self.peers_updates % 10:
            yield f"peers_updates={self.peers_updates}: must be a multiple of 10."

    def _data_problems(self, data: Data) -> Iterator[str]:
        yield from tying_problems(self.model, data)
        yield from guidance_problems(self.model, data, self.training)
        if self.checkpoint is None:
            yield from search_problems(self.model, data, self.decoding)
        if self.peers is not None:
            yield (
                f"peers={self.peers} and data.train={data.train}: what is compared works on the peers' data. "
                "Leave data out."
            )

    def _generated_problems(self) -> Iterator[str]:
        training = self.training
        if training.guided_alignment:
            yield (
                f"training.guided_alignment={training.guided_alignment} without data.alignments: generated "
                "sentences have none. Give data.train and data.alignments, or take training.guided_alignment=0."
            )
        if training.start_from is not None:
            yield (
                f"training.start_from={training.start_from} without data: generated sentences and the peers' data "
                "have sub-words of their own. Give data.train, data.valid and the languages, or take "
                "training.start_from=null."
            )
        if self.checkpoint is not None and self.peers is None:
            yield (
                f"checkpoint={self.checkpoint} without data: it needs sentences to translate. Give data.train, "
                "data.valid and the languages."
            )

    def _peers_problems(self) -> Iterator[str]:
        for one, other in (("peers", "peers_work"), ("peers_work", "peers")):
            if getattr(self, one) is not None and getattr(self, other) is None:
                yield f"{one}={getattr(self, one)} and {other}=null: one is no use without the other. Give both."
