"""The training loop: how long, in which batches, with which loss, optimizer and schedule."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field

from seq2seq.config.schema import choice, number

CHANGEABLE = (
    "learning_rate", "weight_decay", "schedule", "warmup_updates", "plateau_factor", "plateau_patience", "halve_after",
    "halve_every", "clip_norm", "label_smoothing",
)  # fmt: skip
"""Keys that shape the updates to come and nothing that a saved state holds: a run can go on with others."""


@dataclass
class Training:
    """The loop."""

    max_updates: int | None = number(None, ge=1)
    max_epochs: int | None = number(50, ge=1)
    max_hours: float | None = number(None, gt=0)
    """Of training, over all resumes; null: as long as it takes. Where they end before the last update, `cosine` reaches
    0 with them; such a training can't be repeated to the last bit."""
    batch_tokens: int = number(1024, ge=1)
    """Target tokens of an update, EOS and padding counted."""
    batch_sentences: int | None = number(None, ge=1)
    """Pairs of an update at most, where batch_tokens allows as many; null: as many as it allows."""
    processes: int | None = number(None, ge=1, le=1024)
    """That share each batch, on a CPU; each has one thread. null: as many as there would be threads (OMP_NUM_THREADS,
    or the cores), as long as each has 256 tokens at a time; a run goes on with the number it began with. With another
    number it goes on too, and is then the same run except for rounding and for what is drawn in training, such as
    dropout. Those that torchrun starts share each batch instead, on CPUs and GPUs of one machine or several, and leave
    this at null."""
    accumulate: int = number(1, ge=1)
    """Parts in which the work of an update is done, one after the other, and whose gradients are added up: the same
    update in less memory. batch_tokens stays what the whole update has. Where memory is not enough for the largest
    batch, training takes more parts by itself."""
    optimizer: str = choice("adam", "adamw", "sgd", "adadelta")
    """`adadelta` (Zeiler 2012) has rho 0.95 and eps 1e-6, as in Bahdanau 2015, and wants learning_rate=1.0, with which
    it finds its own rates."""
    learning_rate: float = number(1e-3, gt=0)
    min_learning_rate: float | None = number(None, gt=0)
    """Training stops when the schedule falls below; null: whatever the rate."""
    weight_decay: float = number(0.0, ge=0)
    """Of matrices and embeddings; biases, vectors and scales never decay. `adamw` takes it from the weights
    (Loshchilov 2019), the others add it to the gradient."""
    schedule: str = choice("plateau", "constant", "inverse_sqrt", "cosine", "halving")
    """`halving` (Luong 2015): learning_rate for `halve_after` epochs, and then half as much every `halve_every`."""
    warmup_updates: int = number(0, ge=0)
    """The rate grows linearly from 0 over so many updates, under every schedule."""
    plateau_factor: float = number(0.5, gt=0, lt=1)
    plateau_patience: int = number(1, ge=0)
    """Validations in a row in which neither metric nor loss gets better that `plateau` waits before it multiplies."""
    halve_after: float = number(8.0, ge=0)
    """Epochs, of which fractions count too."""
    halve_every: float = number(1.0, ge=0.001)
    clip_norm: float = number(1.0, ge=0)
    """Of the whole gradient; 0: no clipping."""
    max_skipped: int = number(20, ge=0)
    """An update whose gradient is not finite is skipped; after more than so many in a row training stops."""
    ema: float | None = number(None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights, for example 0.999: it is validated, chosen from and
    translated with; null: the weights themselves are. Worth nothing where the schedule brings the rate to 0: there it
    cost 0.2 and 0.5 BLEU in short trainings."""
    label_smoothing: float = number(0.1, ge=0, lt=1)
    loss: str = choice("cross_entropy", "minimum_risk")
    """`minimum_risk`: the expected cost of the model's own samples (Shen 2016), for a model that translates already; it
    works on up to risk_samples + 1 candidates of each pair of a batch, and label_smoothing is not used."""
    risk_samples: int = number(20, ge=1)
    """Drawn for each source, within decoding.max_length and decoding.max_length_ratio; 100 in the paper."""
    risk_sharpness: float = number(5e-3, gt=0)
    """alpha: candidates count by their probability to this power."""
    risk_metric: str = choice("bleu", "chrf")
    """Of a sentence: its cost is 1 - metric/100."""
    guided_alignment: float = number(0.0, ge=0)
    """Weight of the cross-entropy between attention and data.alignments (Chen 2016)."""
    precision: str = choice("fp32", "bf16", "fp16", "auto")
    """Of the products. `auto`: bf16 where the device has instructions for it, else fp32; a run goes on with what it
    began with. `fp16` is for CUDA devices without bf16, and scales the loss (Micikevicius 2018)."""
    scheduled_sampling: str = choice("none", "linear", "inverse_sigmoid")
    """How the share of the decoder's inputs grows that are its own words instead of the reference's (Bengio 2015); with
    it an update also decodes its batch word by word. In short trainings it cost 0.6 and 3.4 BLEU."""
    sampled_inputs_half: int | None = number(None, ge=1)
    """The update at which scheduled sampling makes every second input the model's own."""
    sampled_inputs_most: float = number(1.0, gt=0, le=1)
    """The share never becomes greater."""
    start_from: str | None = None
    """A checkpoint, or a run, for its best one, of any attention, cell and size: a fresh run begins with its weights in
    all tensors of the same name and shape, and uses its sub-words, also on other corpora; optimizer and schedule begin
    anew. A run that goes on does not need it any more."""
    freeze: list[str] = field(default_factory=list)
    """Parts whose weights stay as they are, by name or the beginning of it up to a dot: [encoder,source_embedding],
    [decoder.attention]. They have no gradient and no state of the optimizer; dropout works in them as in the others."""
    validate_every: int | None = number(None, ge=1)
    """Updates; null: once an epoch."""
    metric: str = choice("bleu", "chrf", "loss")
    """Chooses the best checkpoint and stops early."""
    patience: int | None = number(6, ge=1)
    """Validations in a row in which neither metric nor loss gets better before training stops; null: never."""
    keep_best: int = number(1, ge=1)
    """Checkpoints that are kept as RUN_DIR/best-UPDATE, for `seq2seq average`; 1: only `best`."""
    keep_last: int = number(1, ge=1)
    """Of the latest validations, kept as RUN_DIR/last-UPDATE for the same; 1: only `last`."""
    save_every: int = number(500, ge=1)
    """Updates between two states in RUN_DIR/last; the one before stays as RUN_DIR/last.previous, to go on from should
    the last be damaged."""
    log_every: int = number(10, ge=1)
    """Updates between two lines of RUN_DIR/metrics.jsonl, and between two states of the progress bar."""
    samples: int = number(3, ge=0)
    """Translations that each validation shows with their attention; RUN_DIR/validation has those of all sentences."""
    tensorboard: bool = False

    def problems(self) -> Iterator[str]:
        """Options that would change nothing, and ways of training that don't go with each other."""
        yield from self._sampled_inputs_problems()
        yield from self._rate_problems()
        yield from self._risk_problems()

    def _sampled_inputs_problems(self) -> Iterator[str]:
        schedule, half, most = self.scheduled_sampling, self.sampled_inputs_half, self.sampled_inputs_most
        if schedule != "none" and half is None:
            yield (
                f"training.scheduled_sampling={schedule} and training.sampled_inputs_half=null: how fast shall the "
                "share grow? Give training.sampled_inputs_half, an update, or take training.scheduled_sampling=none."
            )
        if schedule == "none" and (half is not None or most != 1):
            yield (
                f"training.scheduled_sampling=none, training.sampled_inputs_half={half} and "
                f"training.sampled_inputs_most={most}: they would change nothing. Take "
                "training.scheduled_sampling=linear or inverse_sigmoid, or leave them out."
            )

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
                "Take another schedule, or training.min_learning_rate=null."
            )

    def _risk_problems(self) -> Iterator[str]:
        if self.loss != "minimum_risk":
            for option in dataclasses.fields(self):
                value = getattr(self, option.name)
                if option.name.startswith("risk_") and value != option.default:
                    yield (
                        f"training.{option.name}={value} and training.loss={self.loss}: only minimum_risk has it. "
                        f"Take training.loss=minimum_risk, or leave training.{option.name}={option.default}."
                    )
            return
        if self.guided_alignment:
            yield (
                f"training.guided_alignment={self.guided_alignment} and training.loss=minimum_risk: the alignments are "
                "those of the references, not of samples. Take training.guided_alignment=0 and data.alignments=null."
            )
        if self.scheduled_sampling != "none":
            yield (
                f"training.scheduled_sampling={self.scheduled_sampling} and training.loss=minimum_risk: samples are "
                "the model's own words throughout. Take training.scheduled_sampling=none."
            )
