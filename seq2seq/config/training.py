"""Options of the training loop: how long, in which batches, with which loss, optimizer and schedule."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field

from seq2seq.config.schema import choice, number

CHANGEABLE = (
    "learning_rate", "weight_decay", "schedule", "warmup_updates", "plateau_factor", "plateau_patience",
    "halving_start_epoch", "halve_every", "clip_norm", "label_smoothing",
)  # fmt: skip
"""Keys that shape the updates to come and nothing in a saved state, so that a run can resume with new values."""


@dataclass
class Training:
    """The training loop."""

    max_epochs: int | None = number(50, ge=1)
    """Maximum number of epochs. null: no limit."""
    max_updates: int | None = number(None, ge=1)
    """Maximum number of updates. null: no limit."""
    max_hours: float | None = number(None, gt=0)
    """Maximum hours of training, over all resumes. null: no limit. If time runs out before the last update, `cosine`
    still reaches 0 at the end; such a training can't be repeated bit for bit."""
    patience: int | None = number(6, ge=1)
    """Stop after this many validations in a row without a better metric or loss. null: never."""
    metric: str = choice("bleu", "chrf", "loss")
    """Validation metric that selects the best checkpoint and stops training early."""
    batch_tokens: int = number(1024, ge=1)
    """Target tokens in an update, including EOS and padding."""
    batch_sentences: int | None = number(None, ge=1)
    """Maximum number of pairs in an update, within batch_tokens. null: no limit."""
    optimizer: str = choice("adam", "adamw", "sgd", "adadelta")
    """Optimizer. `adadelta` (Zeiler 2012) has rho 0.95 and eps 1e-6 as in Bahdanau 2015, and needs
    learning_rate=1.0."""
    learning_rate: float = number(1e-3, gt=0)
    """Learning rate, before the schedule."""
    schedule: str = choice("plateau", "constant", "inverse_sqrt", "cosine", "halving")
    """Learning rate schedule. `plateau` lowers the rate when validations stop improving; `halving` (Luong 2015) keeps
    it until halving_start_epoch and then halves it every halve_every epochs."""
    warmup_updates: int = number(0, ge=0)
    """Updates over which the learning rate grows linearly from 0, under every schedule."""
    min_learning_rate: float | None = number(None, gt=0)
    """Stop when the schedule falls below this rate. null: never."""
    plateau_factor: float = number(0.5, gt=0, lt=1)
    """Factor that `plateau` applies to the learning rate."""
    plateau_patience: int = number(1, ge=0)
    """Validations in a row without a better metric or loss that `plateau` tolerates before it lowers the rate."""
    halving_start_epoch: float = number(8.0, ge=0)
    """Epoch at which `halving` begins; may be fractional."""
    halve_every: float = number(1.0, ge=0.001)
    """Epochs between two halvings; may be fractional."""
    loss: str = choice("cross_entropy", "marginal", "minimum_risk")
    """What training minimises. `marginal` sums out which source position each token comes from (Wu 2018): attention
    aligns better, and an update takes longer; it needs an attention such as luong2015_unfed, and label_smoothing=0.
    `minimum_risk` is the expected cost of the model's own samples (Shen 2016), for a model that can already translate.
    It processes up to risk_samples + 1 candidates per pair, without label smoothing."""
    label_smoothing: float = number(0.1, ge=0, lt=1)
    """Share of the target probability that is spread over the whole vocabulary."""
    r_drop: float = number(0.0, ge=0)
    """Weight of the divergence between two passes with dropout of their own (R-Drop, Liang 2021). An update then costs
    twice as much. 0: one pass."""
    precision: str = choice("fp32", "bf16", "fp16", "auto")
    """Precision of matrix products. `auto` is bf16 if the device has instructions for it, else fp32; a resumed run
    keeps its choice. `fp16` is for CUDA devices without bf16 and scales the loss (Micikevicius 2018);
    it has never been run on one."""
    clip_norm: float = number(1.0, ge=0)
    """Maximum norm of the whole gradient. 0: no clipping."""
    weight_decay: float = number(0.0, ge=0)
    """Weight decay of matrices and embeddings; biases, vectors and scales never decay. `adamw` decouples it from the
    gradient (Loshchilov 2019), the other optimizers add it to the gradient."""
    accumulate: int = number(1, ge=1)
    """Number of micro-batches whose gradients are summed into one update, which saves memory. batch_tokens still
    counts the whole update. If memory runs out on the largest batch, training raises the number automatically."""
    processes: int | None = number(None, ge=1, le=1024)
    """CPU processes that share each batch, one thread each. null: one per core (or OMP_NUM_THREADS), but at least 256
    tokens per process; a resumed run keeps its number. Another number changes only rounding and random draws, such as
    dropout. Leave it at null under torchrun, whose processes share each batch instead."""
    guided_alignment: float = number(0.0, ge=0)
    """Weight of the cross-entropy between attention and data.alignments (Chen 2016)."""
    risk_samples: int = number(20, ge=1)
    """Samples per source for minimum_risk, within decoding.max_length and max_length_ratio; the paper uses 100."""
    risk_alpha: float = number(5e-3, gt=0)
    """Sharpness α of minimum_risk: each candidate counts by its probability to the power of α."""
    risk_metric: str = choice("bleu", "chrf")
    """Sentence metric of minimum_risk, whose cost is 1 - metric/100."""
    start_from: str | list[str] | None = None
    """Checkpoint or run to start from, also hf://USER/NAME, with any architecture, attention and size. A new run takes
    over its sub-words and every tensor of the same name and shape, even for another corpus. Of several, [a,b], the
    first that has a tensor gives it: the encoder of one and the decoder of another. Optimizer and schedule start from
    scratch. A resumed run no longer needs it."""
    freeze: list[str] = field(default_factory=list)
    """Parts whose weights stay fixed, by module name or its beginning up to a dot: [encoder,source_embedding],
    [decoder.attention]. Dropout still applies to them."""
    max_skipped: int = number(20, ge=0)
    """Stop after more than this many consecutive updates without a finite gradient. Such updates are skipped."""
    validate_every: int | None = number(None, ge=1)
    """Updates between validations. null: one validation per epoch."""
    save_every: int = number(500, ge=1)
    """Updates between saved states in RUN_DIR/last. RUN_DIR/last.previous keeps the previous state in case the last
    one is damaged."""
    keep_best: int = number(1, ge=1)
    """Number of best checkpoints to keep as RUN_DIR/best-UPDATE, for `seq2seq average`. 1: only `best`."""
    keep_last: int = number(1, ge=1)
    """Number of latest validated checkpoints to keep as RUN_DIR/last-UPDATE, for `seq2seq average`. 1: only `last`."""
    log_every: int = number(10, ge=1)
    """Updates between lines of RUN_DIR/metrics.jsonl and between refreshes of the progress bar."""
    samples: int = number(3, ge=0)
    """Number of translations that each validation shows with their attention. RUN_DIR/validation has all
    translations."""
    tensorboard: bool = False
    """Write metrics for TensorBoard, too."""

    def problems(self) -> Iterator[str]:
        """Yield an error for each option without effect and for each pair that does not fit."""
        yield from self._rate_problems()
        yield from self._marginal_problems()
        yield from self._risk_problems()

    def _rate_problems(self) -> Iterator[str]:
        least, rate = self.min_learning_rate, self.learning_rate
        if least is not None and least > rate:
            yield (
                f"training.min_learning_rate={least} and training.learning_rate={rate}: training would stop before it "
                "begins. Lower training.min_learning_rate."
            )
        if least is not None and self.schedule == "constant":
            yield (
                f"training.min_learning_rate={least} and training.schedule=constant: this rate never falls. "
                "Use another schedule, or training.min_learning_rate=null."
            )

    def _marginal_problems(self) -> Iterator[str]:
        if self.loss != "marginal":
            return
        for key in ("label_smoothing", "r_drop"):
            if value := getattr(self, key):
                yield (
                    f"training.{key}={value} and training.loss=marginal: it is the likelihood alone. "
                    f"Use training.{key}=0, or training.loss=cross_entropy."
                )

    def _risk_problems(self) -> Iterator[str]:
        if self.loss != "minimum_risk":
            for option in dataclasses.fields(self):
                value = getattr(self, option.name)
                if option.name.startswith("risk_") and value != option.default:
                    yield (
                        f"training.{option.name}={value} and training.loss={self.loss}: only minimum_risk has it. "
                        f"Use training.loss=minimum_risk, or leave training.{option.name}={option.default}."
                    )
            return
        if self.guided_alignment:
            yield (
                f"training.guided_alignment={self.guided_alignment} and training.loss=minimum_risk: the alignments are "
                "those of the references, not of samples. Use training.guided_alignment=0 and data.alignments=null."
            )
        if self.r_drop:
            yield (
                f"training.r_drop={self.r_drop} and training.loss=minimum_risk: candidates are sampled once. "
                "Use training.r_drop=0."
            )
