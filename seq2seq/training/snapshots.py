"""RUN_DIR/snapshots.json: how a model attended to the same few sentences at the validations so far.

Shapes: t target, s source.
"""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seq2seq.inference.forced_scores import force_tokens
from seq2seq.inference.pages import encode_weights
from seq2seq.inference.translator import Translator
from seq2seq.inference.weights import Weights
from seq2seq.text.cache import EncodedCorpus
from seq2seq.text.json_io import read_json, typed
from seq2seq.text.storage import replace_file, within

logger = logging.getLogger(__name__)

_SENTENCES = 3
_LONGEST = 40
"""Tokens that a side of such a sentence has at most: with _MOST, they bound the file, which all of it is read from."""
_MOST = 40
"""Validations that are kept at most."""

Attended = tuple[list[str], list[str], Weights]
"""The pieces of a source and of its reference, and the mean over heads of the attention [t s]"""


def attend(translator: Translator, corpus: EncodedCorpus) -> list[Attended]:
    """Read the attention for fixed pairs of a corpus, with forced references; none for a model without attention."""
    fitting = (corpus.source.lengths <= _LONGEST) & (corpus.target.lengths <= _LONGEST)
    rows = fitting.nonzero()[0]
    rows = rows[:: max(len(rows) // _SENTENCES, 1)][:_SENTENCES]
    if not translator.attends:
        return []
    sources, targets = corpus.sources(rows), [corpus.target[int(row)].tolist() for row in rows]
    forced = force_tokens(translator.model, sources, targets, _SENTENCES)
    pieces = translator.source.pieces, translator.target.pieces
    return [
        (pieces[0](source), pieces[1](target), weights.mean(0).numpy())
        for source, target, (_, weights) in zip(sources, targets, forced, strict=True)
        if weights is not None
    ]


@dataclass
class Snapshots:
    """What metrics.jsonl lacks: attention, encoded as `encode_weights` does, and the latest translations."""

    columns: list[list[str]] = field(default_factory=list)
    """Source pieces of each sentence."""
    rows: list[list[str]] = field(default_factory=list)
    """Pieces of each reference."""
    updates: list[int] = field(default_factory=list)
    """The validations that are kept, in order."""
    epochs: list[float] = field(default_factory=list)
    weights: list[list[str]] = field(default_factory=list)
    """Attention [t s] at each of these validations for each sentence."""
    samples: list[list[str]] = field(default_factory=list)
    """Source, reference and translation of the samples of the latest validation."""

    def add(self, update: int, epoch: float, attended: Sequence[Attended]) -> None:
        """Add a validation; of too many, leave out the one whose neighbours are closest, but not the first or last."""
        columns, rows = [columns for columns, _, _ in attended], [rows for _, rows, _ in attended]
        self.forget(update - 1)
        if (self.columns, self.rows) != (columns, rows):  # those of another corpus
            self.forget(-1)
        if not attended:
            return
        self.columns, self.rows = columns, rows
        self.updates.append(update)
        self.epochs.append(epoch)
        self.weights.append([encode_weights(weights) for _, _, weights in attended])
        if len(self.updates) > _MOST:
            around = [after - before for before, after in zip(self.updates, self.updates[2:], strict=False)]
            place = 1 + around.index(min(around))
            for values in (self.updates, self.epochs, self.weights):
                del values[place]

    def forget(self, update: int) -> None:
        """Forget the validations after this update: a resumed run repeats them."""
        kept = sum(known <= update for known in self.updates)
        for values in (self.updates, self.epochs, self.weights):
            del values[kept:]

    def check(self) -> None:
        """Raise ValueError unless there is a weight for each pair of pieces."""
        sizes = [2 * len(columns) * len(rows) for columns, rows in zip(self.columns, self.rows, strict=True)]
        if any([len(code) for code in codes] != sizes for codes in self.weights):
            raise ValueError("the weights don't fit the pieces")
        if not len(self.updates) == len(self.epochs) == len(self.weights) or any(len(s) != 3 for s in self.samples):
            raise ValueError("lists differ in length")
        if not all(map(math.isfinite, self.epochs)):
            raise ValueError("an epoch is not finite")


def read_snapshots(run_dir: Path) -> Snapshots:
    """Read those of a run; none without a file, or with one that can't be read, which is logged."""
    path = within(run_dir, "snapshots.json")
    try:
        snapshots = typed(Snapshots, read_json(path))
        snapshots.check()
    except FileNotFoundError:
        return Snapshots()
    except (OSError, ValueError) as error:
        logger.warning("%s: can't be read (%s). The report shows the attention from now on", path, error)
        return Snapshots()
    return snapshots


def write_snapshots(run_dir: Path, snapshots: Snapshots) -> None:
    """Replace the file of a run. Raises OSError if it can't be written."""
    with replace_file(within(run_dir, "snapshots.json")) as unfinished:
        text = json.dumps(vars(snapshots), ensure_ascii=False, separators=(",", ":"))
        unfinished.write_text(text + "\n", encoding="utf-8")
