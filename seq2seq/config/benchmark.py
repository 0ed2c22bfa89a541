"""The options of `seq2seq benchmark`."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from seq2seq.config.architectures import NoContext
from seq2seq.config.data import Data
from seq2seq.config.decoding import Decoding
from seq2seq.config.model import Model
from seq2seq.config.rules import guidance_problems, loss_problems, search_problems, tying_problems, untrained_problems
from seq2seq.config.schema import choice, number
from seq2seq.config.training import Training


@dataclass
class Generated:
    """Sentence pairs to measure speed on, with words drawn by Zipf's law."""

    pairs: int = number(20_000, ge=1)
    """Number of sentence pairs."""
    least_length: int = number(6, ge=2)
    """Minimum tokens of a sentence, EOS included."""
    most_length: int = number(30, ge=2)
    """Maximum tokens of a sentence, EOS included."""
    vocab_size: int = number(8000, ge=8)
    """Words in each vocabulary."""

    def problems(self) -> Iterator[str]:
        """Yield an error for bounds that cross."""
        if self.least_length > self.most_length:
            yield (
                f"generated.least_length={self.least_length} and generated.most_length="
                f"{self.most_length}: the least is more than the most. Lower generated.least_length."
            )


_SPEEDS = ("training", "memory", "decoding", "startup")


@dataclass
class BenchmarkConfig:
    """`seq2seq benchmark`: Measure training and decoding speed beside the machine's own rate and other toolkits.

    Example: seq2seq benchmark experiment=benchmark/model_a threads=1 cpu=0
    """

    model: Model
    data: Data | None = None
    """Real text, as in `train`, whose test set (or else validation set) is translated. null: `generated`."""
    generated: Generated = field(default_factory=Generated)
    training: Training = field(default_factory=Training)
    decoding: Decoding = field(default_factory=Decoding)
    measure: list[str] = field(default_factory=lambda: [*_SPEEDS], metadata={"choices": (*_SPEEDS, "quality")})
    """What to measure. `quality`: how long a whole training takes, from raw text to each of `goals`."""
    goals: list[float] = field(default_factory=list)
    """Scores of the validation set in training.metric, such as [34,36]; the training ends at the highest."""
    checkpoint: str | None = None
    """Model to translate with. null: a model with fresh weights, whose translations have `forced_length` tokens."""
    device: str = choice("auto", "cpu", "cuda", "mps")
    """Device to measure."""
    threads: int = number(1, ge=1)
    """Cores to use: processes in training, threads in decoding."""
    cpu: int | list[int] | None = None
    """CPU cores to run on. null: any."""
    seconds: float = number(10.0, gt=0)
    """Approximate duration of each measurement in seconds, after a warm-up."""
    repeats: int = number(5, ge=1)
    """Number of turns of each measurement. Medians are reported."""
    precisions: list[str] = field(default_factory=lambda: ["fp32", "bf16"], metadata={"choices": ("fp32", "bf16")})
    """Precisions of training."""
    decode_precisions: list[str] = field(
        default_factory=lambda: ["fp32"], metadata={"choices": ("fp32", "bf16", "int8")}
    )
    """Precisions of decoding."""
    decode_beams: list[int] = field(default_factory=lambda: [1, 5], metadata={"ge": 1})
    """Beam sizes of decoding."""
    decode_batches: list[int] = field(default_factory=lambda: [1, 16, 64, 256], metadata={"ge": 1})
    """Batch sizes of decoding."""
    decode_sentences: int | None = number(None, ge=1)
    """Sentences to translate in each measurement. null: all if BLEU or another toolkit is reported, else as many as
    time allows."""
    forced_length: int | None = number(15, ge=1)
    """Length of every translation in tokens. null: the model decides."""
    growth: bool = False
    """Measure, too, how speed depends on length, batch size, beam size and vocabulary, with generated sentences."""
    peers: str | None = None
    """Directory with train.py and decode.py, which run other toolkits and print JSON. All toolkits then use their
    data."""
    peers_work: str | None = None
    """Work directory of the other toolkits, with data/ and an environment for each toolkit."""
    peers_toolkits: list[str] = field(default_factory=lambda: ["opennmt", "joeynmt"])
    """Other toolkits to run."""
    peers_precisions: list[str] = field(
        default_factory=lambda: ["highest"], metadata={"choices": ("highest", "high", "medium")}
    )
    """Precisions of their fp32 matrix products, as PyTorch names them."""
    peers_updates: int = number(120, ge=30)
    """Updates in each measurement of their training; the first 20 are the warm-up."""
    seed: int = number(1, ge=0)
    """Seed of generated sentences and fresh weights."""

    def problems(self) -> Iterator[str]:
        """Yield an error for sections that do not fit, and for what can't be measured."""
        yield from loss_problems(self.model, self.training)
        if not isinstance(self.model.context, NoContext):
            yield (
                f"model/context={self.model.context.name}: sentences are measured one by one, without others before "
                "them. Use model/context=none; training tells the speed of a context-aware model."
            )
        yield from self._generated_problems() if self.data is None else self._data_problems(self.data)
        yield from self._peers_problems()
        if self.checkpoint is None and self.forced_length is None and "decoding" in self.measure:
            yield (
                "checkpoint=null and forced_length=null: fresh weights end their translations anywhere. Give "
                "checkpoint=..., or use forced_length=15."
            )
        if ("quality" in self.measure) != bool(self.goals):
            yield f"measure={self.measure} and goals={self.goals}: `quality` and its goals come together. Give both."
        elif self.goals and self.training.metric == "loss":
            yield f"goals={self.goals} and training.metric=loss: goals are scores to rise to. Use training.metric=bleu."
        elif self.goals and self.data is None:
            yield f"goals={self.goals} without data: generated sentences have no quality. Give data.train and so on."
        for key in ("precisions", "decode_precisions", "decode_beams", "decode_batches", "peers_toolkits"):
            if not getattr(self, key):
                yield f"{key}=[]: expected one or more."
        if self.peers_updates % 10:
            yield f"peers_updates={self.peers_updates}: must be a multiple of 10."

    def _data_problems(self, data: Data) -> Iterator[str]:
        if data.context or data.documents is not None:
            yield (
                f"data.context={data.context} and data.documents={data.documents}: sentences are measured one by one, "
                "without others before them. Leave both out."
            )
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
                "sentences have none. Give data.train and data.alignments, or use training.guided_alignment=0."
            )
        if training.start_from is not None:
            yield (
                f"training.start_from={training.start_from} without data: generated sentences and the peers' data "
                "have sub-words of their own. Give data.train, data.valid and the languages, or use "
                "training.start_from=null."
            )
        if self.checkpoint is None:
            yield from untrained_problems(self.decoding)
        if self.checkpoint is not None and self.peers is None:
            yield (
                f"checkpoint={self.checkpoint} without data: it needs sentences to translate. Give data.train, "
                "data.valid and the languages."
            )

    def _peers_problems(self) -> Iterator[str]:
        for one, other in (("peers", "peers_work"), ("peers_work", "peers")):
            if getattr(self, one) is not None and getattr(self, other) is None:
                yield f"{one}={getattr(self, one)} and {other}=null: one is no use without the other. Give both."
