"""The tasks: sequences of random symbols to copy or to reverse, drawn on the fly, and a small training loop.

Shapes: b batch, s source, t target.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor

from seq2seq import build, config
from seq2seq.cli.compose import CONFIGS, register
from seq2seq.model.translation import TranslationModel
from seq2seq.search.greedy import greedy
from seq2seq.search.protocol import Limits, Ranking
from seq2seq.search.stepper import ModelStepper
from seq2seq.text.batches import Batch
from seq2seq.text.tokenizer import BOS, EOS, PAD
from seq2seq.training.loss import TranslationLoss
from seq2seq.training.optimizer import Schedule

FIRST_SYMBOL, VOCAB = 4, 24
"""20 symbols after PAD, UNK, BOS and EOS."""
LENGTHS = range(5, 21)
"""Symbols of a sequence, EOS not counted."""
HELD_OUT = 1_000_001
"""The seed of the sequences that are tested; those of training have small ones."""

Task = Callable[[Tensor], Tensor]
"""Symbols of the sources [b s] -> symbols of the targets [b t], neither with EOS."""


def copy(symbols: Tensor) -> Tensor:
    return symbols


def reverse(symbols: Tensor) -> Tensor:
    return symbols.flip(1)


@dataclass(frozen=True)
class Settings:
    """How a model is trained.

    The rate falls to zero in the end: at a constant one, single updates still undo what was learned, and how many
    sequences are right depends on when one looks.
    """

    seed: int = 2
    updates: int = 2000
    batch_size: int = 64
    learning_rate: float = 3e-3
    warmup_updates: int = 100
    clip_norm: float = 1.0


def model_options(overrides: Sequence[str]) -> config.Model:
    """What `seq2seq train` composes from these overrides, the presets read from configs/, and small sizes."""
    register()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = compose("train", overrides=list(overrides))
    plain = OmegaConf.to_container(composed.model, resolve=True)
    assert isinstance(plain, dict)
    return config.parse("model", {**plain, "embedding_size": 32, "hidden_size": 64, "dropout": 0.0})


def draw(task: Task, size: int, generator: torch.Generator, lengths: Sequence[int] = LENGTHS) -> Batch:
    """Pairs of one of these lengths, so that nothing is padded."""
    length = lengths[int(torch.randint(len(lengths), (), generator=generator))]
    symbols = torch.randint(FIRST_SYMBOL, VOCAB, (size, length), generator=generator)
    source, targets = F.pad(symbols, (0, 1), value=EOS), F.pad(task(symbols), (0, 1), value=EOS)
    inputs = F.pad(targets[:, :-1], (1, 0), value=BOS)
    return Batch(source, torch.full((size,), length + 1), inputs, targets)


def train(options: config.Model, task: Task, settings: Settings) -> TranslationModel:
    """A new model, trained on new sequences at each update."""
    torch.manual_seed(settings.seed)
    model = build.translation_model(options, VOCAB, VOCAB)
    normaliser = options.attention.normaliser
    loss_of = TranslationLoss()
    if isinstance(normaliser, config.Reinforce):
        loss_of = TranslationLoss(0.0, normaliser.reward_weight, normaliser.entropy_weight)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
    schedule = Schedule("cosine", settings.learning_rate, settings.warmup_updates, 1.0, 0, settings.updates)
    generator = torch.Generator().manual_seed(settings.seed)
    baseline = 0.0
    for update in range(1, settings.updates + 1):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(update)
        model.train()
        loss = loss_of(model, draw(task, settings.batch_size, generator), baseline)
        optimizer.zero_grad()
        torch.autograd.backward(loss.total / loss.tokens)
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        if "reward" in loss.terms:
            baseline = 0.9 * baseline + 0.1 * loss.mean("reward")
    return model


def exactly_right(model: TranslationModel, task: Task, lengths: Sequence[int] = LENGTHS, count: int = 500) -> float:
    """The part of the held-out sequences, each of one of these lengths, that greedy search gets exactly right."""
    generator = torch.Generator().manual_seed(HELD_OUT)
    pairs = [draw(task, 1, generator, lengths) for _ in range(count)]
    sources = [batch.source[0].tolist() for batch in pairs]
    found = greedy(ModelStepper(model, torch.device("cpu")), sources, Limits([PAD, BOS], 100, 2.0), Ranking("none"))
    return sum(f[0].tokens == p.targets[0].tolist() for f, p in zip(found, pairs, strict=True)) / count
