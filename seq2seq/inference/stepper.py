"""A translation model as search sees it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.attention.attention import Memory
from seq2seq.model.state import State
from seq2seq.model.translation import TranslationModel
from seq2seq.text.batches import pad


@dataclass(frozen=True)
class ModelState:
    """What the decoder reads of each hypothesis' source, and where the hypothesis is."""

    memory: Memory
    state: State
    attention: Tensor | None = None
    """[n h s]: weights of the last step"""

    def select(self, rows: Tensor) -> "ModelState":
        rows = rows.to(self.memory.lengths.device)
        return ModelState(self.memory.select(rows), self.state.select(rows))


class ModelStepper:
    """One model, in fp32 or under bf16 autocast."""

    def __init__(self, model: TranslationModel, device: torch.device, precision: str = "fp32") -> None:
        self.model = model.eval()
        self.device = device
        self.bf16 = precision == "bf16"

    @torch.inference_mode()
    def start(self, sources: Sequence[Sequence[int]]) -> ModelState:
        tokens, lengths = pad(sources)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            memory, state = self.model.encode(tokens.to(self.device), lengths.to(self.device))
        return ModelState(memory, state)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: ModelState) -> tuple[Tensor, ModelState]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            log_probs, attended, new = self.model.step(tokens.to(self.device), state.memory, state.state)
        weights = attended.dense(state.memory.values.size(2))
        return log_probs, ModelState(state.memory, new, None if weights is None else weights[:, :, 0].float())
