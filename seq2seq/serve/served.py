"""A model as the server offers it: texts of any length and form in, translations and what is known about them out."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from seq2seq.config import Decoding
from seq2seq.errors import ConfigError
from seq2seq.inference.alignment import Aligner, WordAlignment
from seq2seq.inference.sentences import SentenceSplitter, join_alignments, join_translations
from seq2seq.inference.translation import Request, Translation
from seq2seq.inference.translator import Translator
from seq2seq.serve.batching import Batcher
from seq2seq.text.context import Past
from seq2seq.text.languages import base_language
from seq2seq.text.markup import Markup
from seq2seq.text.parts import Parts, Segment
from seq2seq.text.tag_placement import place_tags


@dataclass
class Served:
    """A model or an ensemble under its name."""

    name: str
    translator: Translator
    batcher: Batcher
    decoding: Decoding
    timeout: float
    """Seconds that a request may take"""
    equations: dict[str, Any]
    """Names of the parts of its attention, for people"""

    def __post_init__(self) -> None:
        self.aligner = Aligner.of(self.translator)
        self._views: dict[int, Translator] = {}
        self.split = SentenceSplitter(self.translator.source_lang)
        self.source, self.target = map(base_language, (self.translator.source_lang, self.translator.target_lang))

    def facts(self) -> dict[str, Any]:
        """Describe the model for a client."""
        model = self.translator.members[0].model
        single = len(self.translator.members) == 1
        return {
            "name": self.name,
            "source": self.source,
            "target": self.target,
            "members": len(self.translator.members),
            "attends": self.translator.attends,
            "editable": single and self.translator.attends,
            "windows": single and model.has_windows,
            "layers": model.decoder.attention_layers if single else 1,
            "layer": model.decoder.alignment_layer + 1,
            "equations": self.equations,
        }

    def reading(self, layer: int | None) -> Translator:
        """Return the translator whose attention is read from this decoder layer; None: from the usual one."""
        if layer is None:
            return self.translator
        if layer not in self._views:
            self._views[layer] = self.translator.reading_layer(layer)
        return self._views[layer]

    async def translate(self, all_parts: Sequence[Parts], alternatives: int = 0) -> list[list[str]]:
        """Translate texts; return each with so many alternatives after it, if there are as many.

        Raises Busy, TimeoutError, and ConfigError or DataError for what the model can't serve.
        """
        marked = any(segment.markup is not None for parts in all_parts for segment in parts.segments)
        if marked and self.aligner is None:
            raise ConfigError(
                f"format=html and model={self.name}: it has no attention to place tags by; use format=text"
            )
        decoding, count = self.decoding, alternatives + 1
        if count > 1:
            decoding = replace(decoding, n_best=count, beam_size=max(decoding.beam_size, count))
        split = [[self.split(segment.text) for segment in parts.segments] for parts in all_parts]
        requests: list[Request] = []
        for parts, text in zip(all_parts, split, strict=True):  # the sentences before, for a context-aware model
            past = Past(self.translator.context)
            for place, sentences in enumerate(text):
                begins = place in parts.beginnings
                for sentence in sentences:
                    requests.append(Request(sentence, len(requests), context=past.before(sentence, begins=begins)))
                    begins = False
        ranked = await self._submit(requests, decoding, keep_attention=marked)
        return await asyncio.to_thread(self._all_filled, all_parts, split, iter(ranked))

    def _all_filled(
        self, all_parts: Sequence[Parts], split: Sequence[Sequence[Sequence[str]]], ranked: Iterator[list[Translation]]
    ) -> list[list[str]]:
        """Put the ranked translations of all sentences where they belong."""
        filled = []
        for parts, text in zip(all_parts, split, strict=True):
            joined = [
                self._joined(segment, list(islice(ranked, len(sentences))))
                for segment, sentences in zip(parts.segments, text, strict=True)
            ]
            filled.append(self._filled(parts, joined))
        return filled

    async def translations(self, lines: Sequence[str], decoding: Decoding, pieces: Sequence[str] = ()) -> list[Any]:
        """Return the n best translations of each line as it is, which begin with these target pieces."""
        requests = [Request(line, number, pieces=tuple(pieces)) for number, line in enumerate(lines)]
        return await self._submit(requests, decoding, keep_attention=False)

    def align(self, translation: Translation) -> WordAlignment:
        """Align the words of a translation. Raises ConfigError if the model has no attention."""
        if self.aligner is None:
            raise ConfigError(f"model={self.name}: it has no attention to align by")
        return self.aligner.align(translation)

    @staticmethod
    def _filled(parts: Parts, ranked: Sequence[Sequence[str]]) -> list[str]:
        """The text with the best translation of each segment, then with the second of each that has one, and so on."""
        most = max(map(len, ranked), default=1)
        texts = [parts.fill([texts[min(n, len(texts) - 1)] for texts in ranked]) for n in range(most)]
        return list(dict.fromkeys(texts))

    async def _submit(
        self, requests: Sequence[Request], decoding: Decoding, *, keep_attention: bool
    ) -> list[list[Translation]]:
        future = self.batcher.submit(requests, decoding, keep_attention=keep_attention)
        return await asyncio.wait_for(asyncio.wrap_future(future), self.timeout)

    def _joined(self, segment: Segment, ranked: Sequence[Sequence[Translation]]) -> list[str]:
        """The best translations of a segment, given those of its sentences."""
        texts = []
        for n in range(max(map(len, ranked))):
            sentences = [found[min(n, len(found) - 1)] for found in ranked]
            texts.append(self._text(segment.markup, segment.text, sentences))
        return list(dict.fromkeys(texts))

    def _text(self, markup: Markup | None, line: str, sentences: Sequence[Translation]) -> str:
        text = join_translations(line, sentences, self.translator.target_lang).text
        if markup is None:
            return text
        alignment = join_alignments([self.align(sentence) for sentence in sentences])
        return place_tags(markup, alignment.source, text, alignment.target, alignment.with_several().links)
