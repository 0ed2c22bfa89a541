"""Trained models on a device, one or an ensemble: what translating and scoring share."""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import torch

from seq2seq.errors import ConfigError, DataError
from seq2seq.export.stepper import GraphStepper, find_graphs
from seq2seq.inference.link_rules import LinkRules
from seq2seq.inference.precision import MeasuredPrecision
from seq2seq.model.quantised import QuantisedModels
from seq2seq.model.translation import TranslationModel
from seq2seq.search.lengths import Lengths
from seq2seq.search.shortlist import FILE, Selection, Shortlist
from seq2seq.text.context import InContext
from seq2seq.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

MOST_PIECES = 1 << 14
"""Pieces of a line: memory grows with their number, and with its square where there is attention."""


@dataclass(frozen=True)
class EnsembleMember:
    """A trained model, the tokenizer of its source side, and its shortlist if it has one."""

    model: TranslationModel
    tokenizer: Tokenizer
    shortlist: Shortlist | None = None
    lengths: Lengths = field(default_factory=Lengths)
    """Lengths of the pairs that it was trained on"""
    context: int = 0
    """Number of sentences before that it reads"""
    link_rules: LinkRules = field(default_factory=LinkRules)
    """How its links are read"""
    directory: Path | None = None
    """Its checkpoint, which may have graphs beside the weights"""
    measured: MeasuredPrecision | None = None
    """What its training measured of a faster precision"""


class TrainedModels:
    """One trained model, or an ensemble of several with the same target vocabulary."""

    def __init__(
        self, members: Sequence[EnsembleMember], target: Tokenizer, device: torch.device, languages: tuple[str, str]
    ) -> None:
        """`languages` are those of source and target."""
        for member in members:
            member.model.to(device).eval()
        self.members = members
        self._quantised = [QuantisedModels(member.model) for member in members]
        self._graphs: dict[str, list[GraphStepper]] = {}
        self.target = target
        self.device = device
        self.source_lang, self.target_lang = languages
        first = next((member for member in members if member.model.attends), members[0])
        self.attends = first.model.attends
        """Whether any of the models has attention"""
        self.source = first.tokenizer
        """The tokenizer whose pieces the attention is over"""
        self.context = max(member.context for member in members)
        """Number of sentences before that any of the models reads"""
        self.lengths = first.lengths
        """Lengths of the training pairs in those pieces"""
        self.link_rules = first.link_rules
        """How links are read from the attention"""

    def shares_source(self, member: EnsembleMember) -> bool:
        """Whether a member reads the pieces of `source`, so that its attention counts."""
        return member.tokenizer.fingerprint == self.source.fingerprint

    @property
    def model(self) -> TranslationModel:
        """The only model. Raises ValueError for an ensemble."""
        (member,) = self.members
        return member.model

    def read(
        self, lines: Sequence[str], contexts: Sequence[Sequence[str]], protected: Sequence[Sequence[str]] | None = None
    ) -> list[list[InContext]]:
        """Return the lines in each member's pieces, with the sentences before them, given in the order of the text."""
        distinct = list(dict.fromkeys(sentence for context in contexts for sentence in context))
        readings = []
        for member in self.members:
            known = dict(zip(distinct, member.tokenizer.encode(distinct), strict=True))
            before = ([known[sentence] for sentence in reversed(context)][: member.context] for context in contexts)
            encoded = member.tokenizer.encode(lines, protected)
            readings.append([InContext(*of_line) for of_line in zip(encoded, before, strict=True)])
        return readings

    def of_source(self, readings: Sequence[list[InContext]]) -> list[InContext]:
        """Return that of these readings which is in the pieces of `source`."""
        pairs = zip(self.members, readings, strict=True)
        return next(reading for member, reading in pairs if self.shares_source(member))

    def choose_layer(self, layer: int) -> None:
        """Read alignments and pictures from the attention of this decoder layer, counted from 1.

        Raises ConfigError if a model of which the attention counts has no such layer.
        """
        counted = [member.model for member in self.members if member.model.attends and self.shares_source(member)]
        for model in counted:
            model.check_layer(layer)
        for model in counted:
            model.choose_layer(layer)

    def reading_layer(self, layer: int) -> Self:
        """Return the same models, whose attention is read from this decoder layer; they share their weights.

        Raises ConfigError as `choose_layer` does.
        """
        other = copy.copy(self)
        other.members = [replace(member, model=member.model.with_own_decoder()) for member in self.members]
        pairs = zip(self._quantised, other.members, strict=True)
        other._quantised = [quantised.of_view(member.model) for quantised, member in pairs]
        other.choose_layer(layer)
        return other

    def models(self, precision: str) -> list[TranslationModel]:
        """Return each member's model with products in this precision. Raises ConfigError for int8 off the CPU."""
        return [quantised.at(precision) for quantised in self._quantised]

    @cached_property
    def automatic_precision(self) -> str:
        """The precision that all members' trainings have found to be as good as fp32 on this kind of device."""
        measured = [member.measured for member in self.members]
        found = {one.choice if one is not None and one.device == self.device.type else "fp32" for one in measured}
        precision = found.pop() if len(found) == 1 else "fp32"
        if precision != "fp32":
            logger.info("decoding.precision=auto: %s", precision if len(measured) > 1 else measured[0])
        return precision

    def find_graphs(self, precision: str) -> list[Path]:
        """Return the directory of each member's graphs. Raises ConfigError if one is missing, or of other weights."""
        found = []
        for member in self.members:
            if member.directory is None:
                raise ConfigError("decoding.engine=onnx: the model has no checkpoint that could hold its graphs")
            found.append(find_graphs(member.directory, precision))
        return found

    def graphs(self, precision: str) -> list[GraphStepper]:
        """Return the exported graphs of each member. Raises ConfigError as `find_graphs` does."""
        if precision not in self._graphs:
            self._graphs[precision] = [GraphStepper(directory) for directory in self.find_graphs(precision)]
        for member, graph in zip(self.members, self._graphs[precision], strict=True):
            graph.check(member.model)
        return self._graphs[precision]

    @cached_property
    def piece_numbers(self) -> dict[str, int]:
        """Number of each piece of the target vocabulary."""
        return {name: number for number, name in enumerate(self.target.pieces(range(len(self.target))))}

    def numbers(self, pieces: Sequence[str]) -> list[int]:
        """Return the number of each of these target pieces. Raises DataError for one that there is not."""
        for piece in pieces:
            if piece not in self.piece_numbers:
                raise DataError(f"the target vocabulary has no piece {piece[:60]!r}")
        return [self.piece_numbers[piece] for piece in pieces]

    def select(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], candidates: int | None
    ) -> Selection | None:
        """Return the vocabulary that the shortlist (in an ensemble, the first member's) leaves; None: all of it.

        `sources` are in that member's pieces; each sentence also keeps the tokens of its target. Raises ConfigError if
        there is no shortlist.
        """
        if candidates is None:
            return None
        shortlist = self.members[0].shortlist
        if shortlist is None:
            raise ConfigError(
                f"decoding.shortlist={candidates}: the checkpoint has no {FILE}. Make it with seq2seq "
                f"shortlist checkpoint=DIR candidates={candidates}, or use decoding.shortlist=null."
            )
        return shortlist.select(sources, targets, candidates, len(self.target))


def check_length(pieces: int, name: str) -> None:
    """Raises DataError for a line of more than MOST_PIECES."""
    if pieces > MOST_PIECES:
        raise DataError(
            f"{name}: {pieces:,} pieces, at most {MOST_PIECES:,} can be read; expected a sentence on each line"
        )
