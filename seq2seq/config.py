"""Every option as a dataclass, the tables of names, and `parse`, the one door from plain values to typed options.

A configuration is data: it names parts from the tables below and can run nothing. Defaults exist here and nowhere
else. `parse` reads both what the command line composed and what a checkpoint stored.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seq2seq.schema import REQUIRED, Reader, choice, number


class ConfigError(Exception):
    """The user's mistake in a configuration: one message naming every wrong key, what was expected, and the way out."""


# --- model/attention/score -------------------------------------------------------------------------------------------


@dataclass
class Score:
    """e = F(key, query), how well a source position fits the decoder's state."""

    name: str = REQUIRED


@dataclass
class Dot(Score):
    """qᵀk (Luong 2015)."""

    name: str = "dot"


@dataclass
class ScaledDot(Score):
    """qᵀk / √d (Vaswani 2017)."""

    name: str = "scaled_dot"


@dataclass
class General(Score):
    """qᵀ W k (Luong 2015); also called multiplicative or bilinear."""

    name: str = "general"


@dataclass
class Additive(Score):
    """vᵀ tanh(W q + U k + b) (Bahdanau 2015)."""

    name: str = "additive"
    coverage: bool = False
    """Add u_c C_{t-1,i} inside the tanh (Tu 2016)."""


@dataclass
class NormedAdditive(Score):
    """(g v/‖v‖)ᵀ tanh(W q + U k + b), weight-normalised."""

    name: str = "normed_additive"
    coverage: bool = False


@dataclass
class Concat(Score):
    """vᵀ tanh(W [q;k]) (Luong 2015)."""

    name: str = "concat"
    coverage: bool = False


@dataclass
class Linear(Score):
    """w₁·k + w₂·q = W [q;k]: the "concatenation" of the tutorials; every normaliser ignores its q-term."""

    name: str = "linear"


@dataclass
class Key(Score):
    """w·k: the content of the source alone."""

    name: str = "key"


@dataclass
class Location(Score):
    """(W q)_i (Luong 2015); words from `max_length` on are never attended."""

    name: str = "location"
    max_length: int = number(100, least=1, most=1 << 16)


@dataclass
class Cosine(Score):
    """τ · qᵀk / (‖q‖‖k‖) (Graves 2014)."""

    name: str = "cosine"
    learned_scale: bool = True
    """False: τ = 1, the plain cosine."""


# --- model/attention/window ------------------------------------------------------------------------------------------


@dataclass
class Window:
    """Which source positions a step may look at."""

    name: str = REQUIRED


@dataclass
class GlobalWindow(Window):
    """All real positions."""

    name: str = "global"


@dataclass
class LocalM(Window):
    """Positions within `half_width` of p_t = t (Luong 2015, monotonic alignment)."""

    name: str = "local_m"
    half_width: int = number(10, least=0, most=1024)


@dataclass
class LocalP(Window):
    """Positions within `half_width` of a predicted p_t, and a Gaussian around it (Luong 2015, predictive alignment)."""

    name: str = "local_p"
    half_width: int = number(10, least=1, most=1024)


# --- model/attention/normaliser --------------------------------------------------------------------------------------


@dataclass
class Normaliser:
    """Energies to weights."""

    name: str = REQUIRED


@dataclass
class Softmax(Normaliser):
    """Soft attention."""

    name: str = "softmax"


@dataclass
class Sparsemax(Normaliser):
    """Euclidean projection on the simplex (Martins & Astudillo 2016)."""

    name: str = "sparsemax"


@dataclass
class Hard(Normaliser):
    """One-hot arg max with a straight-through softmax gradient."""

    name: str = "hard"


@dataclass
class Gumbel(Normaliser):
    """Straight-through Gumbel-softmax (Jang 2017)."""

    name: str = "gumbel"
    temperature: float = number(1.0, above=0)


@dataclass
class Reinforce(Normaliser):
    """One sampled position, learned by REINFORCE (Xu 2015, Mnih 2014)."""

    name: str = "reinforce"
    reward_weight: float = number(1.0, least=0)
    """λ_r of the loss."""
    entropy_weight: float = number(0.01, least=0)
    """λ_e of the loss."""


# --- model/attention/placement ---------------------------------------------------------------------------------------


@dataclass
class Placement:
    """Where the context enters the decoder."""

    name: str = REQUIRED


@dataclass
class Before(Placement):
    """The context of s_{t-1} joins the input of step t (Bahdanau 2015)."""

    name: str = "before"
    readout: str = choice("maxout", "tanh")
    attend_from: str = choice("top", "bottom")
    """`bottom`: the query is the lowest layer, and every layer gets the context (GNMT, Wu 2016)."""


@dataclass
class After(Placement):
    """The context of s_t joins the output of step t (Luong 2015)."""

    name: str = "after"
    input_feeding: bool = True


@dataclass
class Between(Placement):
    """The context enters between two recurrent steps: the conditional GRU (Firat & Cho 2016)."""

    name: str = "between"
    readout: str = choice("maxout", "tanh")


@dataclass
class NoAttention(Placement):
    """Only the bridge's fixed vector (Sutskever 2014; `feed_source: true` is Cho 2014)."""

    name: str = "none"
    feed_source: bool = False
    readout: str = choice("maxout", "tanh")


# --- model/bridge ----------------------------------------------------------------------------------------------------


@dataclass
class Bridge:
    """From the encoder's states to the decoder's first state."""

    name: str = REQUIRED


@dataclass
class LastBridge(Bridge):
    """[forward state at the last real token ; backward state at token 0]."""

    name: str = "last"


@dataclass
class MeanBridge(Bridge):
    """The mean of the real positions."""

    name: str = "mean"


@dataclass
class AttentionBridge(Bridge):
    """Softmax pooling of the real positions with a learned query."""

    name: str = "attention"


@dataclass
class ZeroBridge(Bridge):
    """A decoder that starts at zero."""

    name: str = "zero"


def _table(*options: type) -> dict[str, type]:
    return {option.name: option for option in options}  # type: ignore[attr-defined]


GROUPS: dict[type, tuple[str, dict[str, type]]] = {
    Score: (
        "model/attention/score",
        _table(Dot, ScaledDot, General, Additive, NormedAdditive, Concat, Linear, Key, Location, Cosine),
    ),
    Window: ("model/attention/window", _table(GlobalWindow, LocalM, LocalP)),
    Normaliser: ("model/attention/normaliser", _table(Softmax, Sparsemax, Hard, Gumbel, Reinforce)),
    Placement: ("model/attention/placement", _table(Before, After, Between, NoAttention)),
    Bridge: ("model/bridge", _table(LastBridge, MeanBridge, AttentionBridge, ZeroBridge)),
}
"""Base dataclass -> (Hydra group, name -> option)."""


# --- sections --------------------------------------------------------------------------------------------------------


@dataclass
class Attention:
    """score x window x normaliser x heads, and its placement. With placement `none` the first four are null."""

    placement: Placement
    score: Score | None = None
    window: Window | None = None
    normaliser: Normaliser | None = None
    heads: int | None = number(1, least=1)


@dataclass
class Model:
    """The encoder-decoder."""

    attention: Attention
    bridge: Bridge
    cell: str = choice("gru", "lstm")
    embedding_size: int = number(256, least=1, most=1 << 16)
    hidden_size: int = number(512, least=1, most=1 << 16)
    """Of the decoder."""
    encoder_hidden_size: int | None = number(None, least=1, most=1 << 16)
    """Per direction; null: the directions together have `hidden_size`."""
    encoder_layers: int = number(1, least=1, most=64)
    decoder_layers: int = number(1, least=1, most=64)
    bidirectional: bool = True
    residual: bool = False
    """Add a layer's input to its output, from the second layer on."""
    layer_norm: bool = False
    """Within the recurrent layers (Ba 2016), which then run step by step."""
    dropout: float = number(0.2, least=0, below=1)
    """Of the embeddings, between layers, of the encoder's states and of what the vocabulary is projected from."""
    variational_dropout: bool = False
    """`dropout` is the same at all steps of a sentence, and then also of the vector that input feeding hands on (Gal &
    Ghahramani 2016). In short trainings worth nothing: configs/experiment/RESULTS.md."""
    recurrent_dropout: float = number(0.0, least=0, below=1)
    """Of the previous state where a recurrent layer reads it, the same at all steps (Gal & Ghahramani 2016); with it
    such layers run step by step. In short trainings it costs a little."""
    word_dropout: float = number(0.0, least=0, below=1)
    """Of source and target words: a piece's embedding is zeroed wherever it stands in a sentence (Gal & Ghahramani
    2016, section 4.2). In short trainings it costs a little."""
    tied_embeddings: str = choice("none", "source_target", "target_output", "all")


@dataclass
class Data:
    """A parallel corpus and its sub-words."""

    train: str | list[str] = REQUIRED
    """Several, [a,b], are trained on together, and the sub-words are learned from each of them once."""
    weights: list[int] | None = field(default=None, metadata={"least": 1})
    """How many times each corpus of `train` comes in an epoch: with [3,1] an epoch is what it would be if the first one
    stood in its file three times over (fairseq's upsampling). Whole numbers, so that an epoch always is the same pairs
    and has as many batches; unlike with probabilities, nothing has to be known about sizes. null: once each."""
    valid: str | list[str] = REQUIRED
    """Of several, [a,b], the first one alone chooses the best checkpoint, the learning rate and the end; the others are
    only told of, in the log and as `valid/NAME` in metrics.jsonl."""
    test: str | None = None
    alignments: str | list[str] | None = None
    """Word alignments of `train` for training.guided_alignment: a file, also as .gz, with a line of links `i-j` for
    each pair, source word i and target word j, counted from 0. One for each corpus of `train`."""
    source_lang: str = REQUIRED
    target_lang: str = REQUIRED
    tokenizer: str = choice("bpe", "unigram", "char", "word")
    vocab_size: int = number(8000, least=8)
    """Pieces, of the joint vocabulary or of each side's; `char` takes as many as there are characters."""
    joint: bool = True
    """One vocabulary for both languages."""
    byte_fallback: bool | None = None
    """Spell unknown characters in bytes; null: wherever the tokenizer can (bpe, unigram)."""
    character_coverage: float = number(0.9995, above=0, most=1)
    normalization: str = choice("identity", "nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf")
    """Sentencepiece's normalization rule; `identity` leaves raw text raw."""
    subword_sampling: float | None = number(None, above=0, most=1)
    """Cut the training text into other pieces each time: of unigram the α that their probabilities are raised to (Kudo
    2018; for example 0.2), of bpe the share of merges that are left out (BPE-dropout, Provilkov 2020; 0.1). Batches are
    planned by the lengths without it. It is for long trainings: over 4 epochs of Multi30k it cost 10 BLEU. null: always
    the best pieces."""
    subword_nbest: int | None = number(None, least=2, most=512)
    """Unigram draws from so many of the best segmentations (Kudo's l); null: from all."""
    max_length: int = number(200, least=1)
    """Training pairs with more pieces (EOS included) on a side are dropped and counted."""
    max_length_ratio: float | None = number(None, least=1)
    """Training pairs whose longer side has more than so many times the shorter's pieces (EOS left out) are dropped and
    counted; null: none."""
    drop_identical: bool = False
    """Drop and count training pairs whose two sides are the same text."""
    drop_duplicates: bool = False
    """Drop and count training pairs that stood in the same corpus before; white space around a side does not count."""
    reverse_source: bool = False
    """The encoder reads each source from its last piece to its first, EOS still at the end (Sutskever 2014); alignments
    and pictures are in the order of the text."""
    bleu_tokenizer: str | None = None
    """Sacrebleu's tokenizer; null: by the target language (zh -> zh, ja -> ja-mecab, ko -> ko-mecab, else 13a)."""
    cache_dir: str = "runs/cache"


@dataclass
class Training:
    """The loop."""

    max_updates: int | None = number(None, least=1)
    max_epochs: int | None = number(50, least=1)
    max_hours: float | None = number(None, above=0)
    """Of training, over all resumes; null: as long as it takes."""
    batch_tokens: int = number(1024, least=1)
    """Target tokens of an update, EOS and padding counted."""
    batch_sentences: int | None = number(None, least=1)
    """Pairs of an update at most, where batch_tokens allows as many; null: as many as it allows."""
    processes: int | None = number(None, least=1, most=1024)
    """That share each batch, on a CPU; each has one thread. null: as many as there would be threads (OMP_NUM_THREADS,
    or the cores), as long as each has 256 tokens at a time; a run goes on with the number it began with. Those that
    torchrun starts share each batch instead, on CPUs and GPUs of one machine or several, and leave this at null."""
    accumulate: int = number(1, least=1)
    """Parts in which the work of an update is done, one after the other, and whose gradients are added up: the same
    update in less memory. batch_tokens stays what the whole update has. Where memory is not enough for the largest
    batch, training takes more parts by itself."""
    optimizer: str = choice("adam", "adamw", "sgd", "adadelta")
    """`adadelta` (Zeiler 2012) has rho 0.95 and eps 1e-6, as in Bahdanau 2015, and wants learning_rate=1.0, with which
    it finds its own rates."""
    learning_rate: float = number(1e-3, above=0)
    min_learning_rate: float | None = number(None, above=0)
    """Training stops when the schedule falls below; null: whatever the rate."""
    weight_decay: float = number(0.0, least=0)
    """Of matrices and embeddings; biases, vectors and scales never decay. `adamw` takes it from the weights
    (Loshchilov 2019), the others add it to the gradient."""
    schedule: str = choice("plateau", "constant", "inverse_sqrt", "cosine", "halving")
    """`halving` (Luong 2015): learning_rate for `halve_after` epochs, and then half as much every `halve_every`."""
    warmup_updates: int = number(0, least=0)
    """The rate grows linearly from 0 over so many updates, under every schedule."""
    plateau_factor: float = number(0.5, above=0, below=1)
    plateau_patience: int = number(1, least=0)
    """Validations in a row in which neither metric nor loss gets better that `plateau` waits before it multiplies."""
    halve_after: float = number(8.0, least=0)
    """Epochs, of which fractions count too."""
    halve_every: float = number(1.0, least=0.001)
    clip_norm: float = number(1.0, least=0)
    """Of the whole gradient; 0: no clipping."""
    max_skipped: int = number(20, least=0)
    """An update whose gradient is not finite is skipped; after more than so many in a row training stops."""
    ema: float | None = number(None, above=0, below=1)
    """Decay of an exponential moving average of the weights, for example 0.999: it is validated, chosen from and
    translated with; null: the weights themselves are."""
    label_smoothing: float = number(0.1, least=0, below=1)
    loss: str = choice("cross_entropy", "minimum_risk")
    """`minimum_risk`: the expected cost of the model's own samples (Shen 2016), for a model that translates already; it
    works on up to risk_samples + 1 candidates of each pair of a batch, and label_smoothing is not used."""
    risk_samples: int = number(20, least=1)
    """Drawn for each source, within decoding.max_length and decoding.max_length_ratio; 100 in the paper."""
    risk_sharpness: float = number(5e-3, above=0)
    """alpha: candidates count by their probability to this power."""
    risk_metric: str = choice("bleu", "chrf")
    """Of a sentence: its cost is 1 - metric/100."""
    guided_alignment: float = number(0.0, least=0)
    """Weight of the cross-entropy between attention and data.alignments (Chen 2016)."""
    precision: str = choice("fp32", "bf16", "fp16", "auto")
    """Of the products. `auto`: bf16 where the device has instructions for it, else fp32; a run goes on with what it
    began with. `fp16` is for CUDA devices without bf16, and scales the loss (Micikevicius 2018)."""
    scheduled_sampling: str = choice("none", "linear", "inverse_sigmoid")
    """How the share of the decoder's inputs grows that are its own words instead of the reference's (Bengio 2015); with
    it an update also decodes its batch word by word."""
    sampled_inputs_half: int | None = number(None, least=1)
    """The update at which scheduled sampling makes every second input the model's own."""
    sampled_inputs_most: float = number(1.0, above=0, most=1)
    """The share never becomes greater."""
    start_from: str | None = None
    """A checkpoint, or a run, for its best one, of any attention, cell and size: a fresh run begins with its weights in
    all tensors of the same name and shape, and uses its sub-words, also on other corpora; optimizer and schedule begin
    anew. A run that goes on does not need it any more."""
    freeze: list[str] = field(default_factory=list)
    """Parts whose weights stay as they are, by name or the beginning of it up to a dot: [encoder,source_embedding],
    [decoder.attention]. They have no gradient and no state of the optimizer; dropout works in them as in the others."""
    cuda_graphs: bool = False
    """On CUDA alone: capture forward and backward once for each shape of batch and replay them, which spares launching
    each kernel. Batches are padded to few shapes, so that dropout draws other numbers than without; each shape takes
    memory. Not yet run on a GPU: its logic is tested on CPUs."""
    validate_every: int | None = number(None, least=1)
    """Updates; null: once an epoch."""
    metric: str = choice("bleu", "chrf", "loss")
    """Chooses the best checkpoint and stops early."""
    patience: int | None = number(6, least=1)
    """Validations in a row in which neither metric nor loss gets better before training stops; null: never."""
    keep_best: int = number(1, least=1)
    """Checkpoints that are kept as RUN_DIR/best-UPDATE, for `seq2seq average`; 1: only `best`."""
    save_every: int = number(500, least=1)
    """Updates between two states in RUN_DIR/last; the one before stays as RUN_DIR/last.previous, to go on from should
    the last be damaged."""
    log_every: int = number(10, least=1)
    tensorboard: bool = False


@dataclass
class Decoding:
    """How sentences are searched for."""

    search: str = choice("beam", "sample")
    """`sample`: n_best ancestral samples, in the order they were drawn; beam_size is not used."""
    beam_size: int = number(5, least=1, most=1 << 16)
    """1 is greedy search."""
    batch_size: int = number(64, least=1, most=1 << 20)
    n_best: int = number(1, least=1, most=1 << 16)
    temperature: float = number(1.0, above=0)
    """Of sampling: softmax(logits / temperature)."""
    top_k: int | None = number(None, least=1)
    """Samples come from the k most probable tokens; null: from all."""
    top_p: float = number(1.0, above=0, most=1)
    """Samples come from the fewest tokens with so much probability together (Holtzman 2020)."""
    seed: int = number(1, least=0)
    """Of sampling; what is drawn depends on it and on the number of the line alone."""
    length_normalisation: str = choice("wu", "average", "none")
    length_penalty: float = number(1.0, least=0)
    """Wu's alpha."""
    coverage_penalty: float = number(0.0, least=0)
    """Wu's beta: hypotheses that leave source positions unattended rank lower."""
    max_length: int = number(256, least=1)
    """Output tokens, EOS included; every sentence is also held to `max_length_ratio` x its source + 10."""
    max_length_ratio: float = number(2.0, above=0, most=1000)
    min_length_ratio: float = number(0.0, least=0, most=1000)
    """No sentence ends before it has so many times its source's tokens, EOS included."""
    no_repeat_ngram: int | None = number(None, least=1)
    """No n-gram of so many tokens comes twice in a translation; null: any may."""
    replace_unknown: bool = False
    """Put the aligned source word, or its entry in `dictionary`, where the model says the unknown word."""
    dictionary: str | None = None
    """A file with a source word, a tab and its translation on each line."""
    shortlist: int | None = number(None, least=1)
    """Only so many of the most frequent target pieces, and so many for each source piece, can be said: those that
    `seq2seq shortlist` found; null: all can."""
    precision: str = choice("fp32", "bf16", "int8")
    """Of the matrix products; int8 is for CPUs. On Multi30k's 1,000 test sentences (GRU of 512, beam 5) bf16 changes 70
    lines, and BLEU from 35.81 to 35.68; int8 64 lines, to 35.90. In bf16 about one line in a hundred depends on its
    batch; in int8, whose rows are scaled each by itself, none did."""


@dataclass
class TrainConfig:
    """`seq2seq train`"""

    data: Data
    model: Model
    training: Training = field(default_factory=Training)
    decoding: Decoding = field(default_factory=lambda: Decoding(beam_size=1))
    """Of the validations."""
    run_dir: str | None = None
    """null: runs/<corpus>-<attention>-<hash of model, data, guided alignment, loss, start_from, freeze and seed>."""
    seed: int = number(1, least=0)
    device: str = choice("auto", "cpu", "cuda", "mps")
    check: bool = False
    """Validate the configuration, the data and the memory, then stop."""


@dataclass
class TranslateConfig:
    """`seq2seq translate`"""

    checkpoint: str | list[str] = REQUIRED
    """Several, [a,b,c], are an ensemble: the mean of their probabilities."""
    input: str = "-"
    prefix: str | None = None
    """A file with the beginning of each line's translation; blank lines leave it open."""
    output: str = "-"
    output_format: str = choice("text", "jsonl")
    alignments: str | None = None
    """A file for word alignments, a line for each line of output: i-j in Pharaoh's format, or in a .jsonl with the soft
    matrices and the tokens."""
    device: str = choice("auto", "cpu", "cuda", "mps")
    decoding: Decoding = field(default_factory=Decoding)


@dataclass
class EvaluateConfig:
    """`seq2seq evaluate`"""

    checkpoint: str | list[str] = REQUIRED
    source: str = REQUIRED
    reference: str = REQUIRED
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
    reference: str = REQUIRED
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
    output: str = "-"
    output_format: str = choice("text", "jsonl")
    batch_size: int = number(64, least=1, most=1 << 20)
    precision: str = choice("fp32", "bf16", "int8")
    """That of `translate decoding.precision` gives its scores."""
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
    gold_base: int = number(0, least=0, most=1)
    """The number of the first word in `gold`."""
    output: str = "-"
    output_format: str = choice("text", "jsonl", "json")
    """`json`: only the comparison with `gold`."""
    batch_size: int = number(64, least=1, most=1 << 20)
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
    candidates: int = number(100, least=1)
    """Target pieces kept for each source piece: the most that `decoding.shortlist` can ask for."""
    max_pairs: int | None = number(100_000, least=1)
    """Of more pairs, so many are drawn; null: all are aligned."""
    batch_size: int = number(64, least=1, most=1 << 20)
    seed: int = number(1, least=0)
    """Of drawing pairs."""
    device: str = choice("auto", "cpu", "cuda", "mps")


@dataclass
class AverageConfig:
    """`seq2seq average`"""

    checkpoint: list[str] = field(default_factory=list)
    """Checkpoints of one training, [a,b,c]."""
    run_dir: str | None = None
    """Instead of them, a run that was trained with training.keep_best: all that it has kept."""
    output: str = REQUIRED
    """A directory for the checkpoint that is made."""


@dataclass
class CompareConfig:
    """`seq2seq compare`"""

    runs: list[str] = field(default_factory=list)
    """Directories of finished runs. Those that differ only in their seed are one variant."""
    variants: dict[str, str] = field(default_factory=dict)
    """Label -> what this variant gives to `seq2seq train`, as on its command line."""
    common: str = ""
    """What all variants give to `seq2seq train`."""
    seeds: list[int] = field(default_factory=lambda: [1], metadata={"least": 0})
    baseline: str | None = None
    """A label; null: the first."""
    source: str | None = None
    """The test set; null: the `data.test` that all cells have."""
    reference: str | None = None
    gold: str | None = None
    """Word alignments of source and reference, for AER: as in `align`."""
    gold_base: int = number(0, least=0, most=1)
    output: str = "comparison"
    """A directory: comparison.md, .csv, .json and .png, cells/ with a result for each cell, runs/."""
    device: str = choice("auto", "cpu", "cuda", "mps")
    decoding: Decoding = field(default_factory=Decoding)
    """Of the test set."""


@dataclass
class Generated:
    """Pairs of sentences to measure speed on: words drawn by Zipf's law."""

    pairs: int = number(20_000, least=1)
    least_length: int = number(6, least=2)
    most_length: int = number(30, least=2)
    """Tokens of a sentence, EOS counted."""
    vocab_size: int = number(8000, least=8)


_MEASURES = ("training", "memory", "decoding", "startup")


@dataclass
class BenchmarkConfig:
    """`seq2seq benchmark`"""

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
    decode_beams: list[int] = field(default_factory=lambda: [1, 5], metadata={"least": 1})
    decode_batches: list[int] = field(default_factory=lambda: [1, 16, 64, 256], metadata={"least": 1})
    decode_sentences: int | None = number(None, least=1)
    """So many sentences are translated at a time; null: all of them where BLEU or a peer is beside it, else as many as
    there is time for."""
    forced_length: int | None = number(15, least=1)
    """Tokens of every translation; null: it ends where the model ends it."""
    seconds: float = number(10.0, above=0)
    """Of measuring for each number, about; warming up comes before."""
    repeats: int = number(5, least=1)
    """What is compared takes turns so many times; medians are told."""
    threads: int = number(1, least=1)
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
    peers_updates: int = number(120, least=30)
    """Of a measurement of their training, the first 20 for warming up."""
    seed: int = number(1, least=0)
    device: str = choice("auto", "cpu", "cuda", "mps")


COMMANDS: dict[str, type] = {
    "train": TrainConfig,
    "translate": TranslateConfig,
    "evaluate": EvaluateConfig,
    "bleu": BleuConfig,
    "score": ScoreConfig,
    "align": AlignConfig,
    "plot": PlotConfig,
    "shortlist": ShortlistConfig,
    "average": AverageConfig,
    "compare": CompareConfig,
    "benchmark": BenchmarkConfig,
}
KINDS: dict[str, type] = {**COMMANDS, "model": Model, "data": Data, "decoding": Decoding}


# --- parse -----------------------------------------------------------------------------------------------------------


_MOST_ERRORS, _MOST_LETTERS = 50, 2000
"""That are told of at once, and of each."""


def parse(kind: str, values: Mapping[str, Any]) -> Any:
    """Plain values -> the dataclass of `kind` (a key of `KINDS`), checked as a whole.

    Raises ConfigError with one line for each unknown key, unknown name, wrong type, number out of its bounds, missing
    value and impossible pair.
    """
    reader = Reader(GROUPS, {Attention: "model/attention"})
    config = reader.read(KINDS[kind], values)
    if not reader.errors:
        _refuse_impossible_pairs(config, reader.errors)
    if reader.errors:
        told = [error[:_MOST_LETTERS] for error in reader.errors[:_MOST_ERRORS]]
        more = len(reader.errors) - len(told)
        raise ConfigError("\n".join([*told, f"... and {more} more"] if more else told))
    return config


def _refuse_impossible_pairs(config: Any, errors: list[str]) -> None:
    if isinstance(config, Model):
        _check_model(config, errors)
    if isinstance(config, Data):
        _check_data(config, errors)
    if isinstance(config, Training):
        _check_training(config, errors)
    if isinstance(config, Decoding):
        _check_decoding(config, errors)
    if isinstance(config, BenchmarkConfig):
        _check_benchmark(config, errors)
    if isinstance(config, ShortlistConfig) and (config.source is None) != (config.target is None):
        errors.append(
            f"source={config.source} and target={config.target}: pairs have two sides. Give both, or neither to take "
            "what the checkpoint was trained on."
        )
    if isinstance(config, AverageConfig) and (
        len(config.checkpoint) == 1 or bool(config.checkpoint) == (config.run_dir is not None)
    ):
        errors.append(
            f"checkpoint={config.checkpoint} and run_dir={config.run_dir}: expected two checkpoints or more, [a,b], or "
            "a run_dir instead of them."
        )
    if isinstance(config, TrainConfig):
        _check_ties(config.model, config.data, errors)
        _check_search(config.model, config.data, config.decoding, errors)
        if config.training.max_updates is None and config.training.max_epochs is None:
            errors.append(
                "training.max_updates=null and training.max_epochs=null: training would never end. Set one of them."
            )
        _check_guided(config.model, config.data, config.training, errors)
        _check_risk(config.model, config.training, errors)
    if isinstance(config, Training):
        _check_graphs(config, errors)
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            _refuse_impossible_pairs(value, errors)


def _check_ties(model: Model, data: Data, errors: list[str]) -> None:
    if model.tied_embeddings in ("source_target", "all") and not data.joint:
        errors.append(
            f"model.tied_embeddings={model.tied_embeddings} and data.joint=false: two vocabularies can't "
            "share one table. Take data.joint=true, or model.tied_embeddings=target_output."
        )


def _check_benchmark(config: BenchmarkConfig, errors: list[str]) -> None:
    _check_risk(config.model, config.training, errors)
    if config.data is not None:
        _check_ties(config.model, config.data, errors)
        _check_guided(config.model, config.data, config.training, errors)
        if config.checkpoint is None:
            _check_search(config.model, config.data, config.decoding, errors)
    elif config.training.guided_alignment:
        errors.append(
            f"training.guided_alignment={config.training.guided_alignment} without data.alignments: generated "
            "sentences have none. Give data.train and data.alignments, or take training.guided_alignment=0."
        )
    if config.data is None and config.training.start_from is not None:
        errors.append(
            f"training.start_from={config.training.start_from} without data: generated sentences and the peers' data "
            "have sub-words of their own. Give data.train, data.valid and the languages, or take "
            "training.start_from=null."
        )
    if config.peers is not None and config.data is not None:
        errors.append(
            f"peers={config.peers} and data.train={config.data.train}: what is compared works on the peers' data. "
            "Leave data out."
        )
    for one, other in (("peers", "peers_work"), ("peers_work", "peers")):
        if getattr(config, one) is not None and getattr(config, other) is None:
            errors.append(f"{one}={getattr(config, one)} and {other}=null: one is no use without the other. Give both.")
    if config.checkpoint is None and config.forced_length is None and "decoding" in config.measure:
        errors.append(
            "checkpoint=null and forced_length=null: fresh weights end their translations anywhere. Give "
            "checkpoint=..., or take forced_length=15."
        )
    if config.checkpoint is not None and config.data is None and config.peers is None:
        errors.append(
            f"checkpoint={config.checkpoint} without data: it needs sentences to translate. Give data.train, "
            "data.valid and the languages."
        )
    if config.generated.least_length > config.generated.most_length:
        errors.append(
            f"generated.least_length={config.generated.least_length} and generated.most_length="
            f"{config.generated.most_length}: the least is more than the most. Lower generated.least_length."
        )
    for key in ("precisions", "decode_precisions", "decode_beams", "decode_batches", "peers_toolkits"):
        if not getattr(config, key):
            errors.append(f"{key}=[]: expected one or more.")
    if config.peers_updates % 10:
        errors.append(f"peers_updates={config.peers_updates}: must be a multiple of 10.")


def _check_search(model: Model, data: Data, decoding: Decoding, errors: list[str]) -> None:
    if isinstance(model.attention.placement, NoAttention):
        errors += [
            f"model/attention/placement=none and decoding.{key}={value}: there is no attention to go by. "
            f"Leave decoding.{key}={default}."
            for key, value, default in (
                ("coverage_penalty", decoding.coverage_penalty, 0),
                ("replace_unknown", decoding.replace_unknown, "false"),
            )
            if value
        ]
    if decoding.shortlist is not None:
        errors.append(
            f"decoding.shortlist={decoding.shortlist}: a model that is yet to be trained has no shortlist. "
            "Leave decoding.shortlist=null; seq2seq shortlist makes one for the trained checkpoint."
        )
    if decoding.replace_unknown and data.tokenizer != "word":
        errors.append(
            f"data.tokenizer={data.tokenizer} and decoding.replace_unknown=true: these spell what they do not know. "
            "Take data.tokenizer=word, or decoding.replace_unknown=false."
        )


def memory_size(model: Model) -> int:
    """Size of an encoder state h_i: that of its directions together."""
    if model.encoder_hidden_size is None:
        return model.hidden_size
    return model.encoder_hidden_size * (2 if model.bidirectional else 1)


def _check_model(model: Model, errors: list[str]) -> None:
    attention = model.attention
    if model.variational_dropout and not model.dropout:
        errors.append(
            "model.variational_dropout=true and model.dropout=0: there is nothing to be the same at all steps. "
            "Give model.dropout a probability, or take model.variational_dropout=false."
        )
    if model.bidirectional and model.encoder_hidden_size is None and model.hidden_size % 2:
        errors.append(
            f"model.hidden_size={model.hidden_size} and model.bidirectional=true: an odd size can't be halved between "
            "the two directions. Take an even one, or set model.encoder_hidden_size."
        )
    if isinstance(attention.placement, NoAttention):
        attention.score = attention.window = attention.normaliser = attention.heads = None
        if isinstance(model.bridge, ZeroBridge):
            errors.append(
                "model/attention/placement=none and model/bridge=zero: the decoder would never see the source. "
                "Take another bridge (last, mean, attention), or an attention."
            )
        return
    for axis, base in (("score", Score), ("window", Window), ("normaliser", Normaliser)):
        if getattr(attention, axis) is None:
            group, table = GROUPS[base]
            errors.append(
                f"model/attention/placement={attention.placement.name} and {group}=null: an attention needs a {axis}. "
                f"Choices: {', '.join(table)}; or take model/attention/placement=none."
            )
    if attention.heads is None:
        errors.append(
            f"model/attention/placement={attention.placement.name} and model.attention.heads=null: "
            "give the number of heads, 1 for the papers' equations."
        )
    elif memory_size(model) % attention.heads:
        errors.append(
            f"model.attention.heads={attention.heads} and an encoder state of size {memory_size(model)} "
            "(model.hidden_size, model.encoder_hidden_size): the heads must divide it."
        )


def _check_guided(model: Model, data: Data, training: Training, errors: list[str]) -> None:
    weight, file = training.guided_alignment, data.alignments
    attention = model.attention
    if weight and file is None:
        errors.append(
            f"training.guided_alignment={weight} and data.alignments=null: there is nothing to guide the attention by. "
            "Give data.alignments=FILE, or take training.guided_alignment=0."
        )
    if file is not None and not weight:
        errors.append(
            f"data.alignments={file} and training.guided_alignment=0: the alignments would change nothing. "
            "Give training.guided_alignment a weight, for example 0.2, or leave data.alignments=null."
        )
    if weight and isinstance(attention.placement, NoAttention):
        errors.append(
            f"training.guided_alignment={weight} and model/attention/placement=none: there is no attention to guide. "
            "Take another placement, or training.guided_alignment=0 and data.alignments=null."
        )
    elif weight and attention.normaliser is not None and not isinstance(attention.normaliser, Softmax):
        errors.append(
            f"training.guided_alignment={weight} and model/attention/normaliser={attention.normaliser.name}: its "
            "weights can be 0, where a cross-entropy has no gradient to make them larger. "
            "Take model/attention/normaliser=softmax, or training.guided_alignment=0 and data.alignments=null."
        )


def several(names: str | list[str] | None) -> list[str]:
    """One name or more, or none, as a list."""
    return [names] if isinstance(names, str) else names or []


def _check_risk(model: Model, training: Training, errors: list[str]) -> None:
    if training.loss != "minimum_risk":
        errors += [
            f"training.{option.name}={getattr(training, option.name)} and training.loss={training.loss}: only "
            f"minimum_risk has it. Take training.loss=minimum_risk, or leave training.{option.name}={option.default}."
            for option in dataclasses.fields(training)
            if option.name.startswith("risk_") and getattr(training, option.name) != option.default
        ]
        return
    if training.guided_alignment:
        errors.append(
            f"training.guided_alignment={training.guided_alignment} and training.loss=minimum_risk: the alignments are "
            "those of the references, not of samples. Take training.guided_alignment=0 and data.alignments=null."
        )
    if training.scheduled_sampling != "none":
        errors.append(
            f"training.scheduled_sampling={training.scheduled_sampling} and training.loss=minimum_risk: samples are "
            "the model's own words throughout. Take training.scheduled_sampling=none."
        )
    if isinstance(model.attention.normaliser, Reinforce):
        errors.append(
            "model/attention/normaliser=reinforce and training.loss=minimum_risk: its positions are trained by the "
            "likelihood that they lead to. Take training.loss=cross_entropy."
        )


def _check_graphs(training: Training, errors: list[str]) -> None:
    if not training.cuda_graphs:
        return
    errors += [
        f"training.cuda_graphs=true and training.{key}={value}: {reason}. Take training.{key}={way_out}, or "
        "training.cuda_graphs=false."
        for key, value, way_out, reason in (
            ("processes", training.processes, "null", "processes share batches on a CPU, graphs are CUDA's"),
            ("loss", training.loss, "cross_entropy", "what is done with samples depends on their number"),
            ("scheduled_sampling", training.scheduled_sampling, "none", "batches are captured as they are given"),
        )
        if value not in (None, 1, "cross_entropy", "none")
    ]


def _check_data(data: Data, errors: list[str]) -> None:
    corpora = len(several(data.train))
    if not corpora:
        errors.append("data.train=[]: expected a corpus, or several, [a,b].")
    if len(set(several(data.valid))) != max(len(several(data.valid)), 1):
        errors.append(f"data.valid={data.valid}: expected a held-out set, or several, [a,b], each once.")
    for key, given in (("weights", data.weights), ("alignments", data.alignments)):
        if given is not None and len([given] if isinstance(given, str) else given) != corpora:
            errors.append(
                f"data.{key}={given} and data.train={data.train}: one is needed for each corpus, {corpora} in all. "
                f"Give as many, or leave data.{key}=null."
            )
    if data.byte_fallback and data.tokenizer in ("char", "word"):
        errors.append(
            f"data.byte_fallback=true and data.tokenizer={data.tokenizer}: only bpe and unigram can spell bytes. "
            "Leave data.byte_fallback=null."
        )
    if data.subword_sampling is not None and data.tokenizer in ("char", "word"):
        errors.append(
            f"data.subword_sampling={data.subword_sampling} and data.tokenizer={data.tokenizer}: there is one way only "
            "to cut a text into these. Take data.tokenizer=bpe or unigram, or data.subword_sampling=null."
        )
    if data.subword_nbest is not None and (data.subword_sampling is None or data.tokenizer != "unigram"):
        errors.append(
            f"data.subword_nbest={data.subword_nbest}, data.subword_sampling={data.subword_sampling} and "
            f"data.tokenizer={data.tokenizer}: only unigram draws from the best segmentations. Leave "
            "data.subword_nbest=null, or take data.tokenizer=unigram data.subword_sampling=0.2."
        )
    if data.subword_sampling is not None and data.alignments is not None:
        errors.append(
            f"data.subword_sampling={data.subword_sampling} and data.alignments={data.alignments}: the alignments are "
            "between the pieces that sampling replaces. Take data.subword_sampling=null, or data.alignments=null."
        )


def _check_training(training: Training, errors: list[str]) -> None:
    schedule, half, most = training.scheduled_sampling, training.sampled_inputs_half, training.sampled_inputs_most
    if schedule != "none" and half is None:
        errors.append(
            f"training.scheduled_sampling={schedule} and training.sampled_inputs_half=null: how fast shall the share "
            "grow? Give training.sampled_inputs_half, an update, or take training.scheduled_sampling=none."
        )
    if schedule == "none" and (half is not None or most != 1):
        errors.append(
            f"training.scheduled_sampling=none, training.sampled_inputs_half={half} and "
            f"training.sampled_inputs_most={most}: they would change nothing. Take training.scheduled_sampling=linear "
            "or inverse_sigmoid, or leave them out."
        )
    least, rate = training.min_learning_rate, training.learning_rate
    if least is not None and least > rate:
        errors.append(
            f"training.min_learning_rate={least} and training.learning_rate={rate}: training would stop before it "
            "begins. Lower training.min_learning_rate."
        )
    if least is not None and training.schedule == "constant":
        errors.append(
            f"training.min_learning_rate={least} and training.schedule=constant: this rate never falls. "
            "Take another schedule, or training.min_learning_rate=null."
        )


def _check_decoding(decoding: Decoding, errors: list[str]) -> None:
    if decoding.search == "beam" and decoding.n_best > decoding.beam_size:
        errors.append(
            f"decoding.n_best={decoding.n_best} and decoding.beam_size={decoding.beam_size}: a beam holds no more "
            "hypotheses than its size. Raise decoding.beam_size."
        )
    if decoding.search == "beam":
        errors += [
            f"decoding.{key}={value} and decoding.search=beam: only samples have it. Take decoding.search=sample."
            for key, value, default in (
                ("temperature", decoding.temperature, 1.0),
                ("top_k", decoding.top_k, None),
                ("top_p", decoding.top_p, 1.0),
            )
            if value != default
        ]
    if decoding.min_length_ratio > decoding.max_length_ratio:
        errors.append(
            f"decoding.min_length_ratio={decoding.min_length_ratio} and decoding.max_length_ratio="
            f"{decoding.max_length_ratio}: the least is more than the most. Lower decoding.min_length_ratio."
        )
    if decoding.dictionary is not None and not decoding.replace_unknown:
        errors.append(
            f"decoding.dictionary={decoding.dictionary} and decoding.replace_unknown=false: the dictionary is for "
            "unknown words. Take decoding.replace_unknown=true."
        )


def to_plain(config: Any) -> dict[str, Any]:
    """A parsed dataclass as plain builtins, such as `parse` reads."""
    return dataclasses.asdict(config)
