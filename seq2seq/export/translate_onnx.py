"""Translate text with an exported model: python translate_onnx.py MODEL < source > translation

Needs onnxruntime, sentencepiece and numpy, nothing else. MODEL is the directory that `seq2seq export` wrote; its
config.json tells how text is read and how translations are searched for, as the trainer does both.

Shapes: n rows (hypotheses), r readout size, v vocabulary, h heads, s source pieces, t target pieces.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import sentencepiece
from numpy.typing import NDArray

Array = NDArray[Any]

PAD, UNK, BOS, EOS = range(4)
GRAPHS = ("encoder", "step", "output")
_FILES = ("config.json", *(f"{name}.onnx" for name in GRAPHS), "source.model", "target.model")
_SORTED_BATCHES = 16
"""Batches of sentences that are sorted by length together."""
_WORDS = re.compile("\u2581?[^\u2581]+|\u2581")
_SYMBOL = re.compile("⟦([0-9])⟧\n")
"""A piece that stands for a text to keep."""
_SYMBOLS = [f"⟦{number}⟧\n" for number in range(10)]
_BREAKING = str.maketrans(dict.fromkeys("\0\n\r", " "))


class Translation(NamedTuple):
    """What is found for a line."""

    text: str
    score: float
    """Natural-log probability."""
    source_pieces: list[str]
    tokens: list[str]
    token_scores: list[float]
    attention: Array | None
    """[h t s]: for each target piece the weights of the source pieces; None for a model without attention."""


class Step(NamedTuple):
    """The last step of a hypothesis, and the one before it."""

    before: "Step | None"
    token: int
    score: float
    attention: Array | None  # [h s]


class Text:
    """Lines to pieces and back."""

    def __init__(self, directory: Path, config: dict[str, Any]) -> None:
        self._source, self._target = (
            sentencepiece.SentencePieceProcessor(model_file=str(directory / f"{side}.model"))
            for side in ("source", "target")
        )
        names = map(self._source.IdToPiece, range(EOS + 1, self._source.GetPieceSize()))
        self._whole_words = all(name.startswith("\u2581") for name in names if name not in _SYMBOLS)
        self._raw = config["raw"]
        self._visible, self._unusual = re.compile(config["visible"]), re.compile(config["unusual"])
        self._protect = re.compile(config["protect"]) if config["protect"] else None

    def is_blank(self, line: str) -> bool:
        """Whether a line has nothing to translate."""
        return not _replace(line, self._find_unusual(line)).strip()

    def protected(self, line: str) -> list[str]:
        """Find the texts of a line that are kept to the letter."""
        if self._protect is None:
            return []
        return list(dict.fromkeys(match[0] for match in self._protect.finditer(line) if match[0]))[: len(_SYMBOLS)]

    def encode(self, line: str) -> list[int]:
        """Return the numbers of a line's pieces, EOS included."""
        changes = self._find_unusual(line)
        if self._protect is not None:
            symbols = dict(zip(self.protected(line), _SYMBOLS, strict=False))
            matches = [match for match in self._protect.finditer(line) if match[0] in symbols]
            kept = [Change(match.start(), match.end(), symbols[match[0]]) for match in matches]
            free = (change for change in changes if not any(one.begin <= change.begin < one.end for one in kept))
            changes = sorted([*kept, *free])
        text = _replace(line, changes)
        tokens: list[int] = self._source.encode(text, out_type=int, add_eos=True)
        if not self._whole_words or UNK not in tokens:
            return tokens
        # One token for each unknown word: sentencepiece joins neighbours.
        pieces = [*self._source.encode(text, out_type=str), ""]
        counts = [
            len(_WORDS.findall(piece)) if token == UNK else 1 for token, piece in zip(tokens, pieces, strict=True)
        ]
        return [token for token, count in zip(tokens, counts, strict=True) for _ in range(count)]

    def _find_unusual(self, line: str) -> list["Change"]:
        """Find white space and format characters to make usual; a line on which nothing is visible becomes empty."""
        if self._raw or (line.isascii() and line.isprintable()):
            return []
        if not self._visible.search(line):
            return [Change(0, len(line), "")]
        matches = [match for match in self._unusual.finditer(line) if match["needed"] is None]
        return [Change(match.start(), match.end(), " " if match["space"] else "") for match in matches]

    def decode(self, tokens: Sequence[int], protected: Sequence[str]) -> str:
        """Return one line of text."""
        text = self._target.decode([token for token in tokens if token not in (PAD, BOS, EOS)])
        shown = _SYMBOL.sub(lambda match: protected[int(match[1])] if int(match[1]) < len(protected) else "", text)
        return shown.translate(_BREAKING)

    def pieces(self, tokens: Sequence[int], side: str) -> list[str]:
        """Return the names of pieces of the `source` or `target` side."""
        model = self._source if side == "source" else self._target
        return [model.IdToPiece(token).removesuffix("\n") for token in tokens]


class Change(NamedTuple):
    """Characters [begin, end) of a line, and the text in their place."""

    begin: int
    end: int
    text: str


def _replace(line: str, changes: Sequence[Change]) -> str:
    parts, end = [], 0
    for change in changes:
        parts += [line[end : change.begin], change.text]
        end = change.end
    return "".join([*parts, line[end:]])


class Graph:
    """A graph from a file, ready to run."""

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = [value.name for value in self._session.get_outputs()]

    def __call__(self, given: dict[str, Array]) -> dict[str, Array]:
        """Run it; it may not use all that it is given."""
        made = self._session.run(self._outputs, {name: given[name] for name in self._inputs})
        return dict(zip(self._outputs, made, strict=True))


class Model:
    """The graphs."""

    def __init__(self, directory: Path, threads: int = 1) -> None:
        self._encoder, self._step, self._output = (Graph(directory / f"{name}.onnx", threads) for name in GRAPHS)
        self.config = json.loads((directory / "config.json").read_text())

    def start(self, sources: Sequence[Sequence[int]]) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return what each row reads at every step, and its first state, by the names of the tensors."""
        tokens = np.full((len(sources), max(map(len, sources))), PAD)
        for row, source in zip(tokens, sources, strict=True):
            row[: len(source)] = source
        lengths = np.array([len(source) for source in sources])
        made = {"lengths": lengths} | self._encoder({"tokens": tokens, "lengths": lengths})
        for zero in self.config["zeros"]:  # states that the steps make; some grow with them
            shape = [{"rows": len(sources), "steps": 0}.get(axis, axis) for axis in zero["axes"]]
            made[zero["name"]] = np.zeros(shape, zero["dtype"])
        state = {name: value for name, value in made.items() if name.startswith("state.")}
        return {name: value for name, value in made.items() if name not in state}, state

    def step(
        self, previous: Array, source: dict[str, Array], state: dict[str, Array]
    ) -> tuple[Array, Array | None, dict[str, Array]]:
        """Previous tokens [n] -> features of the next [n r], attention [n h s] if any, the next state."""
        made = self._step({"previous": previous, **source, **state})
        features, attention = made.pop("features"), made.pop("attention", None)
        return features, attention, {name.removeprefix("next_"): value for name, value in made.items()}

    def log_probs(self, features: Array) -> Array:
        """Features [n r] -> log-probabilities [n v]."""
        return self._output({"features": features})["log_probs"]


class Translator:
    """Translates lines: `Translator("model").translate(["Ein Satz ."])`."""

    def __init__(self, directory: str | Path, threads: int = 1) -> None:
        self.model = Model(Path(directory), threads)
        self.text, self._search = Text(Path(directory), self.model.config["text"]), self.model.config["search"]

    def translate(self, lines: Sequence[str], beam_size: int | None = None, batch_size: int = 64) -> list[Translation]:
        """Translate lines; a blank one gives an empty translation.

        A beam of one is greedy search; None is the trainer's default.
        """
        found = [Translation("", 0.0, [], [], [], None)] * len(lines)
        encoded = [self.text.encode(line) for line in lines]
        filled = [number for number, line in enumerate(lines) if not self.text.is_blank(line)]
        filled.sort(key=lambda number: len(encoded[number]))
        for first in range(0, len(filled), batch_size):
            numbers = filled[first : first + batch_size]
            best = self._beam([encoded[number] for number in numbers], beam_size or self._search["beam_size"])
            for number, steps in zip(numbers, best, strict=True):
                found[number] = self._translation(lines[number], encoded[number], steps)
        return found

    def _translation(self, line: str, source: Sequence[int], steps: Sequence[Step]) -> Translation:
        tokens, scores = [step.token for step in steps], [step.score for step in steps]
        weights = [step.attention[:, : len(source)] for step in steps if step.attention is not None]
        return Translation(
            self.text.decode(tokens, self.text.protected(line)),
            sum(scores),
            self.text.pieces(source, "source"),
            self.text.pieces(tokens, "target"),
            scores,
            np.stack(weights, 1) if weights else None,
        )

    # --- search ------------------------------------------------------------------------------------------------------

    def _beam(self, sources: Sequence[Sequence[int]], beam_size: int) -> list[list[Step]]:
        """Find the steps of the best translation of each source."""
        source, state = self.model.start(sources)
        rows = [Hypothesis(_Sentence(self._longest(one), beam_size)) for one in sources]
        sentences = [row.sentence for row in rows]
        length = 0
        while rows:
            length += 1
            previous = np.array([BOS if row.step is None else row.step.token for row in rows])
            features, attention, state = self.model.step(previous, source, state)
            log_probs = self.model.log_probs(features)
            log_probs[:, self._search["forbidden"]] = -np.inf
            scores, tokens = _largest(log_probs, beam_size)  # [n k]
            sums = scores + np.array([row.total for row in rows], scores.dtype)[:, None]
            readers = [row.sentence for row in rows]
            kept: list[int] = []
            new: list[Hypothesis] = []
            for sentence, numbers in groupby(range(len(rows)), readers.__getitem__):
                going = []
                for number, column in _best(sums, list(numbers), sentence.places):
                    weights = None if attention is None else attention[number]
                    score = float(scores[number, column])
                    step = Step(rows[number].step, int(tokens[number, column]), score, weights)
                    total = rows[number].total + score
                    if step.token == EOS or length >= sentence.longest:
                        sentence.finish(step, total / self._penalty(length))
                    else:
                        going.append((number, Hypothesis(sentence, step, total)))
                if going and going[0][1].total / self._penalty(sentence.longest) > sentence.rank:
                    kept += [number for number, _ in going]
                    new += [hypothesis for _, hypothesis in going]
            rows = new
            state = {name: value[kept] for name, value in state.items()}
            if [row.sentence for row in rows] != readers:
                source = {name: value[kept] for name, value in source.items()}
        return [sentence.steps() for sentence in sentences]

    def _longest(self, source: Sequence[int]) -> int:
        """Return the most pieces of a translation, EOS included."""
        limit = int(round(self._search["max_length_ratio"] * len(source), 6)) + self._search["margin"]
        return max(1, min(self._search["max_length"], limit))

    def _penalty(self, length: int) -> float:
        """Return lp of Wu 2016, eq. 14."""
        return float(((5 + length) / 6) ** self._search["length_penalty"])


class _Sentence:
    """A source whose best translation is searched for."""

    def __init__(self, longest: int, places: int) -> None:
        self.longest, self.places = longest, places
        self.rank = -np.inf
        self._last: Step | None = None

    def finish(self, last: Step, rank: float) -> None:
        """Take a finished hypothesis, which leaves one place less for the others."""
        self.places -= 1
        if rank > self.rank:
            self.rank, self._last = rank, last

    def steps(self) -> list[Step]:
        """Return the steps of the best finished hypothesis."""
        steps, step = [], self._last
        while step is not None:
            steps.append(step)
            step = step.before
        return steps[::-1]


class Hypothesis(NamedTuple):
    """An unfinished translation: a row of the state."""

    sentence: _Sentence
    step: Step | None = None
    total: float = 0.0


def _best(sums: Array, rows: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Return the places (row, column) of the greatest of these rows' sums [n k] above −∞, greatest first."""
    own = sums[rows]
    order = np.argsort(-own, axis=None, kind="stable")[:most]
    places = zip(*np.unravel_index(order[own.ravel()[order] > -np.inf], own.shape), strict=True)
    return [(rows[row], int(column)) for row, column in places]


def _largest(log_probs: Array, k: int) -> tuple[Array, Array]:
    """Return the k largest of each row [n v] and their columns, largest first [n k]."""
    k = min(k, log_probs.shape[1])
    columns = np.argpartition(-log_probs, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(log_probs, columns, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(values, order, 1), np.take_along_axis(columns, order, 1)


# --- the command -----------------------------------------------------------------------------------------------------


def main() -> None:
    """Translate the standard input line by line."""
    parser = argparse.ArgumentParser(description="Translate the standard input with an exported model.")
    parser.add_argument("model", help="directory that seq2seq export wrote")
    parser.add_argument("--beam", type=_positive, help="hypotheses in the beam; 1 is greedy search")
    parser.add_argument("--batch", type=_positive, default=64, help="sentences in a batch")
    parser.add_argument("--threads", type=_positive, default=1, help="threads of each graph")
    parser.add_argument("--json", action="store_true", help="print an object with scores and attention for each line")
    options = parser.parse_args()
    if missing := [name for name in _FILES if not (Path(options.model) / name).is_file()]:
        parser.error(f"{options.model}: not an exported model, {', '.join(missing)} is missing")
    translator = Translator(options.model, options.threads)
    lines = _read()
    while group := list(islice(lines, options.batch * _SORTED_BATCHES)):
        for line, found in zip(group, translator.translate(group, options.beam, options.batch), strict=True):
            print(json.dumps(_plain(line, found), ensure_ascii=False) if options.json else found.text, flush=True)


def _positive(text: str) -> int:
    """Read a whole number above 0. Raises argparse's error for anything else."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return int(text)


def _read() -> Iterator[str]:
    """Yield the lines of the standard input: UTF-8, ended by line feeds alone."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            sys.exit(f"stdin:{number}: not UTF-8 ({error.reason} at byte {error.start})")
        yield (text.removeprefix("\ufeff") if number == 1 else text).removesuffix("\n").removesuffix("\r")


def _plain(line: str, found: Translation) -> dict[str, Any]:
    weights = None if found.attention is None else np.round(found.attention.mean(0, dtype=float), 4).tolist()
    return {
        "source": line,
        "translation": found.text,
        "score": found.score,
        "source_pieces": found.source_pieces,
        "tokens": found.tokens,
        "token_scores": found.token_scores,
        "attention": weights,
    }


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    try:
        main()
    except BrokenPipeError:  # the reader of the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
