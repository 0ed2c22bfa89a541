"""`seq2seq interactive`: translates what a person types, and shows what each word attends to."""

import logging
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TextIO

import numpy as np

from seq2seq.cli.files import input_groups, input_lines, output_stream
from seq2seq.cli.keyboard import Keyboard
from seq2seq.config import Decoding, InteractiveConfig
from seq2seq.errors import ConfigError, DataError, nearest
from seq2seq.inference.alignment import Aligner, no_attention
from seq2seq.inference.colours import RESET, count_colours, fit_end, heat, most_attended, paint_words, visible
from seq2seq.inference.heatmap import shade, terminal_width, text_heatmap
from seq2seq.inference.live import Step, source_tokens, translate_live
from seq2seq.inference.loading import load_translator
from seq2seq.inference.out_of_memory import in_halves_that_fit
from seq2seq.inference.translation import CutCount, Request, Translation
from seq2seq.inference.translator import Translator
from seq2seq.text.context import Past
from seq2seq.text.tokenizer import EOS
from seq2seq.text.words import find_words

logger = logging.getLogger(__name__)

_COMMAND = re.compile(r":([a-zA-Z]+)\s*(.*)")
_CLEAR_LINE = "\r\x1b[K"


def run(config: InteractiveConfig) -> int:
    """Answer each line until there are no more. A mistake in one is reported, and the next one is read."""
    typed = sys.stdin.isatty()
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Visible())
    translator = load_translator(config.checkpoint, config.device)
    decoding = translator.settled(config.decoding)
    translator.check(decoding)
    with output_stream("-") as output:
        session = Session(translator, decoding, output, typed=typed)
        read: Callable[[], list[str | DataError]] = partial(next, input_groups("-", 1, input_lines), [])
        if typed:
            languages = translator.source_lang, translator.target_lang
            logger.info("%s to %s. Type a sentence, or :help.", *languages)
            read = Keyboard(visible("-".join(languages) + "> "), list(COMMANDS)).read
        while True:
            try:
                if not (lines := read()):
                    return 0
                for line in lines:
                    session.answer(line)
            except EOFError:  # :quit
                return 0
            except KeyboardInterrupt:
                if not typed:
                    raise
                print(RESET if session.colours else "", file=output, flush=True)


class _Visible(logging.Formatter):
    """Shows messages so that a terminal acts on nothing that they quote."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(visible, super().format(record).splitlines()))


class Session:
    """Answers sentences with translations, and commands about the last of them."""

    def __init__(self, translator: Translator, decoding: Decoding, output: TextIO, *, typed: bool) -> None:
        """`typed`: a person types the lines; otherwise each gives plain text."""
        self._translator, self._decoding, self._output, self._typed = translator, decoding, output, typed
        self._on_screen = typed and output.isatty()
        self._redraws = self._on_screen and os.environ.get("TERM", "") not in ("", "dumb")
        self.colours = count_colours(os.environ) if self._on_screen else 0
        self._aligner = Aligner.of(translator)
        self._past, self._number = Past(translator.context), 0
        self._request: Request | None = None
        self._ranked: list[Translation] = []

    def answer(self, line: str | DataError) -> None:
        """Print what a line asks for; report what is wrong with it. Raises EOFError for `:quit`."""
        command = None
        try:
            if isinstance(line, DataError):
                raise line
            if command := _COMMAND.fullmatch(line):
                self._execute(*command.groups())
                return
            blank = self._translator.source.is_blank(line)
            context = self._past.before(line, begins=blank)  # a blank line begins a document
            if not (blank and self._typed):
                self._translate(Request(line, self._number, context=context), self._decoding)
        except (ConfigError, DataError) as error:
            logger.error("%s", error)
            if not self._typed and command is None:
                self._print("")  # one line for each sentence
        finally:
            self._number += 1

    # --- translations ------------------------------------------------------------------------------------------------

    def _translate(self, request: Request, decoding: Decoding) -> None:
        self._request, self._ranked = request, []
        if self._on_screen and self._aligner:
            places = range(len(find_words(request.line, self._translator.source_lang)))
            self._print("".join(paint_words(request.line, self._translator.source_lang, places, self.colours)))
        if self._is_live(request, decoding):
            ranked = [self._translate_live(request, decoding)]
        else:
            (ranked,) = self._translator.translate_group([request], decoding)
        for place, translation in enumerate(ranked, 1):
            head = f"{place:2}  {translation.rank:.3f}  " if len(ranked) > 1 else ""
            self._print(head + "".join(self._painted(translation)))
        self._ranked = ranked
        cuts = CutCount()
        cuts.add(ranked)
        cuts.warn(self._translator.limits(decoding))

    def _is_live(self, request: Request, decoding: Decoding) -> bool:
        """Whether each token is shown as soon as it is chosen, which not every kind of search can do."""
        greedy = decoding.engine == "torch" and decoding.search == "beam" and decoding.beam_size == 1
        return self._redraws and greedy and not (decoding.shortlist or decoding.replace_unknown or request.context)

    def _translate_live(self, request: Request, decoding: Decoding) -> Translation:
        target, protected = self._translator.target, self._translator.source.protected(request.line)
        ((*prefix, _),) = target.encode([request.prefix], [protected])
        columns = source_tokens(self._translator, request.line)
        steps: list[Step] = []

        def so_far() -> Translation:
            tokens, scores = [step.token for step in steps], [step.score for step in steps]
            text, _ = target.decode_spans(tokens, protected)
            rows = [step.weights for step in steps if step.weights is not None]
            attention = np.stack(rows, axis=1) if rows else None  # [h t s]
            score, cut = sum(scores), tokens[-1:] != target.pieces([EOS])
            return Translation(request.line, text, score, score, columns, tokens, scores, attention, cut=cut)

        def show(step: Step) -> None:
            steps.append(step)
            end = fit_end(self._painted(so_far()), (terminal_width(self._output) or 1) - 1)
            print(_CLEAR_LINE + end, end="", file=self._output, flush=True)

        begun = target.pieces(prefix)
        translate = partial(translate_live, self._translator, show=show, prefix=begun, decoding=decoding)
        in_halves_that_fit(lambda lines: list(map(translate, lines)), [request.line])
        print(_CLEAR_LINE, end="", file=self._output)
        return so_far()

    def _painted(self, translation: Translation) -> list[str]:
        """Return a translation in parts, as it is to be printed."""
        if not self._output.isatty():
            return [translation.text]
        language = self._translator.target_lang
        places: list[int | None] = [None] * len(find_words(translation.text, language))
        if self._on_screen and self._aligner:
            places = most_attended(self._aligner.align(translation))
        return paint_words(translation.text, language, places, self.colours)

    def _print(self, text: str) -> None:
        print(text, file=self._output, flush=True)

    # --- commands ----------------------------------------------------------------------------------------------------

    def _execute(self, name: str, argument: str) -> None:
        found = [command for command in COMMANDS if command.startswith(name.lower())]
        if len(found) != 1:
            raise DataError(
                f":{name}: no such command.{nearest(name, COMMANDS)} :help lists them; a space before the colon makes "
                "it a sentence."
            )
        command, argument = COMMANDS[found[0]], argument.strip()
        if command.value == "N" and not re.fullmatch("[1-9][0-9]{0,8}", argument):
            raise DataError(f":{found[0]} {argument[:60]}: expected a number from 1, as in :{found[0]} 5.")
        command.run(self, int(argument) if command.value == "N" else argument)

    def attention(self, _: str) -> None:
        """Draw the attention of the best translation."""
        self._check_attention()
        if not self._ranked:
            raise DataError("There is no finished translation. Type a sentence first.")
        cell = partial(heat, colours=self.colours) if self.colours else shade
        self._print(text_heatmap(self._ranked[0].heatmap(), terminal_width(self._output), cell))

    def alternatives(self, number: int) -> None:
        """Show the n best translations."""
        beam_size = max(number, self._decoding.beam_size)
        self._translate(self._last(), replace(self._decoding, n_best=number, beam_size=beam_size))

    def force(self, text: str) -> None:
        """Begin the translation with a text."""
        self._translate(replace(self._last(), prefix=text), self._decoding)

    def beam(self, number: int) -> None:
        """Search with a beam of another size from now on."""
        decoding = replace(self._decoding, beam_size=number)
        self._translator.check(decoding)
        self._decoding = decoding
        self._repeat()

    def layer(self, number: int) -> None:
        """Read the attention of another layer from now on."""
        self._check_attention()
        if self._decoding.engine == "onnx":
            raise ConfigError("decoding.engine=onnx: graphs return the attention of one layer. Use the engine torch.")
        self._translator.choose_layer(number)
        self._repeat()

    def help(self, _: str) -> None:
        """List the commands."""
        for name, command in COMMANDS.items():
            logger.info("  %-16s %s", f":{name} {command.value}", command.purpose)
        logger.info(
            "They act on the last sentence, and their first letters are enough. A word has the number and the colour "
            "of the source word that it attends to most."
        )

    def quit(self, _: str) -> None:
        """Raise EOFError."""
        raise EOFError

    def _last(self) -> Request:
        if self._request is None:
            raise DataError("There is no sentence yet. Type one first.")
        return self._request

    def _repeat(self) -> None:
        """Translate the last sentence again, if there is one."""
        if self._request:
            self._translate(self._request, self._decoding)

    def _check_attention(self) -> None:
        if self._aligner is None:
            raise no_attention()


class Command(NamedTuple):
    """What a line with a colon does."""

    value: str
    """Its argument: TEXT, a number N, or nothing"""
    purpose: str
    run: Callable[[Session, Any], None]


COMMANDS = {
    "attention": Command("", "draw the attention of the translation", Session.attention),
    "alternatives": Command(
        "N", "show the N best translations with the scores they are sorted by", Session.alternatives
    ),
    "force": Command("TEXT", "begin the translation with this text", Session.force),
    "beam": Command("N", "search with N hypotheses; 1 is greedy and shows each token at once", Session.beam),
    "layer": Command("N", "read the attention of this decoder layer, counted from 1 at the bottom", Session.layer),
    "help": Command("", "list the commands", Session.help),
    "quit": Command("", "leave, as Ctrl-D does", Session.quit),
}
