"""The options of each command, but of `benchmark`."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from seq2seq.config.compatibility import guidance_problems, risk_problems, search_problems, tying_problems
from seq2seq.config.data import Data
from seq2seq.config.decoding import Decoding
from seq2seq.config.model import Model
from seq2seq.config.schema import REQUIRED, choice, number
from seq2seq.config.training import CHANGEABLE, Training


@dataclass
class TrainConfig:
    """`seq2seq train`"""

    data: Data
    model: Model
    training: Training = field(default_factory=Training)
    decoding: Decoding = field(default_factory=lambda: Decoding(beam_size=1))
    """For validations, and for scoring `data.test` at the end."""
    run_dir: str | None = None
    """null: runs/<corpus>-<attention>-<hash>. The hash is that of all settings that a run must keep to go on, as far as
    they are not at their defaults. In a --multirun, swept keys that are not in the hash are added to the name."""
    change: list[str] = field(
        default_factory=list, metadata={"choices": tuple(f"training.{name}" for name in CHANGEABLE)}
    )
    """Settings that this command changes on purpose in the run of run_dir: [training.learning_rate]. They hold from the
    next update on, and the checkpoints record until when the old ones did. A new learning rate is taken as it is:
    what plateaus made of the old one is forgotten, and training.patience counts anew."""
    seed: int = number(1, ge=0)
    device: str = choice("auto", "cpu", "cuda", "mps")
    check: bool = False
    """Validate the configuration, the data, the memory, the disk and what is installed, then stop."""

    def problems(self) -> Iterator[str]:
        """Sections that mean nothing together, a training without end, and changes to no run."""
        if self.change and not self.run_dir:
            yield (
                f"change={self.change} and run_dir=null: other settings have another default directory, where a new "
                "run would begin. Give run_dir, the directory of the run to change."
            )
        yield from tying_problems(self.model, self.data)
        yield from search_problems(self.model, self.data, self.decoding)
        if self.training.max_updates is None and self.training.max_epochs is None:
            yield "training.max_updates=null and training.max_epochs=null: training would never end. Set one of them."
        yield from guidance_problems(self.model, self.data, self.training)
        yield from risk_problems(self.model, self.training)


@dataclass
class TranslateConfig:
    """`seq2seq translate`"""

    checkpoint: str | list[str] = REQUIRED
    """Several, [a,b,c], are an ensemble: the mean of their probabilities."""
    input: str | list[str] = "-"
    """Several files, [a,b], are translated one after the other, each into a file of the same name in `output`."""
    columns: list[str] | None = field(default=None, metadata={"length": 2})
    """The source and target columns of tables, as data.columns; null: those of the checkpoint's own training."""
    prefix: str | None = None
    """A file with the beginning of each line's translation; blank lines leave it open."""
    output: str = "-"
    """A file; its name in .gz compresses it. A directory if `input` is a list."""
    output_format: str = choice("text", "jsonl")
    alignments: str | None = None
    """A file for word alignments, a line for each line of output: i-j in Pharaoh's format, or in a .jsonl with the soft
    matrices and the tokens."""
    split: str = choice("none", "sentences")
    """`sentences`: split each line into sentences, translate each on its own and join the translations again."""
    resume: bool = False
    """Keep what OUTPUT.partial has of a run that was stopped, and go on from there."""
    device: str = choice("auto", "cpu", "cuda", "mps")
    decoding: Decoding = field(default_factory=Decoding)

    def problems(self) -> Iterator[str]:
        """Options that several inputs, sentences or standard output do not go with."""
        several = isinstance(self.input, list)
        if self.input == [] or (several and "-" in self.input):
            yield f"input={self.input}: expected names of files in a list."
        if several and (self.prefix, self.alignments) != (None, None):
            yield (
                f"prefix={self.prefix} and alignments={self.alignments} are files for a single input. Translate one "
                "file at a time, or take output_format=jsonl, which has the alignments."
            )
        if self.split != "none" and self.decoding.n_best > 1:
            yield (
                f"split={self.split} and decoding.n_best={self.decoding.n_best}: the n best translations of several "
                "sentences do not make those of a line. Take decoding.n_best=1 or split=none."
            )
        if self.split != "none" and self.prefix is not None:
            yield f"split={self.split} and prefix={self.prefix}: a prefix begins a line. Take split=none."
        if self.columns is not None and self.input == "-":
            yield f"columns=[{','.join(self.columns)}] and input=-: stdin is plain text. Give a file."
        if self.resume and self.output == "-":
            yield "resume=true and output=-: nothing is kept of standard output. Give output=FILE."


@dataclass
class EvaluateConfig:
    """`seq2seq evaluate`"""

    checkpoint: str | list[str] = REQUIRED
    source: str = REQUIRED
    reference: str | list[str] | None = None
    """Several, [a,b], are alternatives of each line: scores are those of all of them together. null: `source` is a
    corpus, as in training, that has both sides."""
    columns: list[str] | None = field(default=None, metadata={"length": 2})
    """The source and target columns of tables, as data.columns; null: those of the checkpoint's own training."""
    output: str = "-"
    output_format: str = choice("text", "json")
    report: str | None = None
    """A directory for report.html and what belongs to it."""
    bleu_tokenizer: str | None = None
    device: str = choice("auto", "cpu", "cuda", "mps")
    decoding: Decoding = field(default_factory=Decoding)


@dataclass
class BleuConfig:
    """`seq2seq bleu`"""

    hypothesis: str | list[str] = REQUIRED
    """Several, [a,b,c]: the first is the baseline, whose difference from each other is tested."""
    reference: str | list[str] = REQUIRED
    """Several, [a,b], are alternatives of each line: scores are those of all of them together."""
    columns: list[str] | None = field(default=None, metadata={"length": 2})
    """The columns of tables, as data.columns, of which the target is read; null: the second of a TSV, else by name."""
    output: str = "-"
    output_format: str = choice("text", "json")
    target_lang: str | None = None
    """Chooses the tokenizer, as in training."""
    bleu_tokenizer: str | None = None


@dataclass
class PlotConfig:
    """`seq2seq plot`"""

    checkpoint: str | list[str] = REQUIRED
    input: str = "-"
    target: str | None = None
    """Translations to look at, a line for each of `input`: text, or what `translate output_format=jsonl` wrote.
    null: the model's own.
    """
    columns: list[str] | None = field(default=None, metadata={"length": 2})
    """The source and target columns of tables, as data.columns; null: those of the checkpoint's own training."""
    units: str = choice("pieces", "words")
    """`words`: pieces put together as `align` does."""
    output: str = "attention"
    """A directory: a picture of each sentence, 0001.png and so on, or the page index.html; a page may be a .html file.
    """
    output_format: str = choice("png", "svg", "pdf", "html", "text")
    """`html` is one page of all sentences, `text` draws in the terminal."""
    device: str = choice("auto", "cpu", "cuda", "mps")
    decoding: Decoding = field(default_factory=Decoding)


@dataclass
class ScoreConfig:
    """`seq2seq score`"""

    checkpoint: str | list[str] = REQUIRED
    source: str = REQUIRED
    target: str = REQUIRED
    """Text, or what `translate output_format=jsonl` wrote, whose tokens are then scored as they are."""
    columns: list[str] | None = field(default=None, metadata={"length": 2})
    """The source and target columns of tables, as data.columns; null: those of the checkpoint's own training."""
    output: str = "-"
    output_format: str = choice("text", "jsonl")
    batch_size: int = number(64, ge=1, le=1 << 20)
    precision: str = choice("fp32", "bf16", "int8")
    """That of `translate decoding.precision` gives its scores."""
    shortlist: int | None = number(None, ge=1)
    """As `translate decoding.shortlist`: probabilities are normalised over so many candidates, and a pair's own pieces.
    null: over the whole vocabulary. JSONL says which in `shortlist`."""
    device: str = choice("auto", "cpu", "cuda", "mps")


@dataclass
class AlignConfig:
    """`seq2seq align`"""

    checkpoint: str | list[str] = REQUIRED
    source: str = REQUIRED
    target: str = REQUIRED
    """Text, or what `translate output_format=jsonl` wrote."""
    gold: str | None = None
    """Sure links `i-j` and possible ones `i?j`, a line for each pair: gives AER, precision and recall."""
    gold_base: int = number(0, ge=0, le=1)
    """The number of the first word in `gold`."""
    columns: list[str] | None = field(default=None, metadata={"length": 2})
    """The source and target columns of tables, as data.columns; null: those of the checkpoint's own training."""
    output: str = "-"
    output_format: str = choice("text", "jsonl", "json")
    """`json`: only the comparison with `gold`."""
    batch_size: int = number(64, ge=1, le=1 << 20)
    precision: str = choice("fp32", "bf16", "int8")
    """That of `translate decoding.precision` gives its scores."""
    device: str = choice("auto", "cpu", "cuda", "mps")


@dataclass
class ShortlistConfig:
    """`seq2seq shortlist`"""

    checkpoint: str = REQUIRED
    source: str | None = None
    """Text and its translation, to align; null: what the checkpoint was trained on."""
    target: str | None = None
    columns: list[str] | None = field(default=None, metadata={"length": 2})
    """The source and target columns of tables, as data.columns; null: those of the checkpoint's own training."""
    candidates: int = number(100, ge=1)
    """Target pieces kept for each source piece: the most that `decoding.shortlist` can ask for."""
    max_pairs: int | None = number(100_000, ge=1)
    """Of more pairs, so many are drawn; null: all are aligned."""
    batch_size: int = number(64, ge=1, le=1 << 20)
    seed: int = number(1, ge=0)
    """Of drawing pairs."""
    device: str = choice("auto", "cpu", "cuda", "mps")

    def problems(self) -> Iterator[str]:
        """One side of pairs without the other."""
        if (self.source is None) != (self.target is None):
            yield (
                f"source={self.source} and target={self.target}: pairs have two sides. Give both, or neither to take "
                "what the checkpoint was trained on."
            )


@dataclass
class AverageConfig:
    """`seq2seq average`"""

    checkpoint: list[str] = field(default_factory=list)
    """Checkpoints of one training, [a,b,c]."""
    run_dir: str | None = None
    """Instead of them, a run that was trained with training.keep_best or keep_last: all that it has kept."""
    choose: str = choice("best", "last")
    """Of run_dir, those of its best validations or of its latest."""
    output: str = REQUIRED
    """A directory for the checkpoint that is made."""

    def problems(self) -> Iterator[str]:
        """Nothing to average, or two answers to what."""
        if len(self.checkpoint) == 1 or bool(self.checkpoint) == (self.run_dir is not None):
            yield (
                f"checkpoint={self.checkpoint} and run_dir={self.run_dir}: expected two checkpoints or more, [a,b], or "
                "a run_dir instead of them."
            )
        if self.run_dir is None and self.choose != "best":
            yield f"choose={self.choose} without run_dir: there is nothing to choose from. Give run_dir, or leave it."


@dataclass
class CompareConfig:
    """`seq2seq compare`"""

    runs: list[str] = field(default_factory=list)
    """Directories of finished runs. Those that differ only in their seed are one variant."""
    variants: dict[str, str] = field(default_factory=dict)
    """Label -> what this variant gives to `seq2seq train`, as on its command line."""
    common: str = ""
    """What all variants give to `seq2seq train`."""
    seeds: list[int] = field(default_factory=lambda: [1], metadata={"ge": 0})
    baseline: str | None = None
    """A label; null: the first."""
    source: str | None = None
    """The test set; null: the `data.test` that all cells have."""
    reference: str | None = None
    gold: str | None = None
    """Word alignments of source and reference, for AER: as in `align`."""
    gold_base: int = number(0, ge=0, le=1)
    output: str = "comparison"
    """A directory: comparison.md, .csv, .json and .png, cells/ with a result for each cell, runs/."""
    device: str = choice("auto", "cpu", "cuda", "mps")
    decoding: Decoding = field(default_factory=Decoding)
    """Of the test set."""
