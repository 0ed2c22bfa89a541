"""How word links are read from a model's attention, kept in its checkpoint."""

from dataclasses import dataclass
from pathlib import Path

from seq2seq.text.storage import read_values, write_values

FILE = "links.json"


@dataclass(frozen=True)
class LinkRule:
    """Which source words a target word is linked to, given its weights."""

    shift: int = 0
    """Row of attention that a token is aligned by, counted from its own: 1 where queries lag a step behind."""
    pieces: str = "mean"
    """Rows of a target word: the `mean` of those of its pieces, or the `first`, where endings attend elsewhere."""
    threshold: float | None = None
    """None: a target word is linked to the source word with the most weight. Otherwise target words compete for source
    words, and source words that are left over are linked from this weight on."""

    def __str__(self) -> str:
        links = (
            "one link a word"
            if self.threshold is None
            else f"several links a word, from a weight of {self.threshold:g}"
        )
        return f"rows shifted by {self.shift}, {self.pieces} of a word's pieces, {links}"


ONE_A_WORD = LinkRule()
"""The rule of a model that was not tuned."""


@dataclass(frozen=True)
class LinkRules:
    """The rule of a model for each kind of attention."""

    prior: LinkRule = ONE_A_WORD
    posterior: LinkRule = ONE_A_WORD

    def of(self, attention: str) -> LinkRule:
        """The rule for `prior` or `posterior`."""
        return self.posterior if attention == "posterior" else self.prior

    def save(self, directory: Path) -> None:
        """Write the rules into a checkpoint. Raises DataError if they can't be written."""
        write_values(directory, FILE, self)

    @classmethod
    def load(cls, directory: Path) -> "LinkRules":
        """Load the rules of a checkpoint, or the default ones. Raises DataError if they can't be read."""
        way_out = "Delete it, or make it again with align tune=true."
        return read_values(cls, directory, FILE, way_out) or cls()
