"""The corpora, how they are cut into sub-words, and which of their pairs are trained on."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from seq2seq.config.schema import REQUIRED, choice, number


def several(names: str | list[str] | None) -> list[str]:
    """One name or more, or none, as a list."""
    return [names] if isinstance(names, str) else names or []


def stored_data(values: dict[str, Any]) -> dict[str, Any]:
    """Values of `data` that a checkpoint or a run has stored, with what the version that stored them did where they do
    not say."""
    return {"raw_text": True, **values}


@dataclass(frozen=True)
class Split:
    """Pairs of `data.train` that are held out: whole numbers or, below 1, shares.

    No source sentence is in two parts.
    """

    valid: float | None = number(None, gt=0)
    test: float | None = number(None, gt=0)
    seed: int = number(1, ge=0)
    """Chooses the pairs. Runs of different `seed`s share their held-out sets, so that their scores can be compared."""

    def given(self) -> bool:
        """Whether anything is held out."""
        return (self.valid, self.test) != (None, None)

    def problems(self) -> Iterator[str]:
        """Numbers that are neither a share nor whole."""
        for key, value in (("valid", self.valid), ("test", self.test)):
            if value is not None and value >= 1 and value != int(value):
                yield f"data.split.{key}={value}: expected a whole number of pairs, or a share of them below 1."
        shares = [value for value in (self.valid, self.test) if value is not None and value < 1]
        if sum(shares) >= 1:
            yield f"data.split.valid={self.valid} and data.split.test={self.test}: nothing would be left to train on."


@dataclass
class Data:
    """A parallel corpus and its sub-words."""

    train: str | list[str] = REQUIRED
    """Several, [a,b], are trained on together, and the sub-words are learned from each of them once."""
    weights: list[int] | None = field(default=None, metadata={"ge": 1})
    """How many times each corpus of `train` comes in an epoch: with [3,1] an epoch is what it would be if the first one
    stood in its file three times over (fairseq's upsampling). Whole numbers, so that an epoch always is the same pairs
    and has as many batches; unlike with probabilities, nothing has to be known about sizes. null: once each."""
    columns: list[str] | None = field(default=None, metadata={"length": 2})
    """The source and target columns of tables (.tsv, .csv, .jsonl, .parquet): numbers, from 1, such as [2,1], where no
    row has their names, else names. null: the first two of a TSV; in others, columns named by the language codes or
    `source` and `target`."""
    valid: str | list[str] | None = None
    """Required unless data.split.valid is given. Of several, [a,b], the first one alone chooses the best checkpoint,
    the learning rate and the end; the others are only told of, in the log and as `valid/NAME` in metrics.jsonl."""
    test: str | None = None
    split: Split = field(default_factory=Split)
    """Hold out pairs of `train` where there is no held-out set; they are written to RUN_DIR/split."""
    alignments: str | list[str] | None = None
    """Word alignments of `train` for training.guided_alignment: a file, also as .gz, with a line of links `i-j` for
    each pair, source word i and target word j, counted from 0. One for each corpus of `train`."""
    source_lang: str = REQUIRED
    target_lang: str = REQUIRED
    tokenizer: str = choice("bpe", "unigram", "char", "word")
    tokenizer_model: str | list[str] | None = None
    """A sentencepiece model of your own instead of one that is learned, for both languages or [source,target]. Train it
    with pad_id=0, unk_id=1, bos_id=2, eos_id=3. Checkpoints hold a copy; the options that say how pieces are learned
    have no effect."""
    protect: str | list[str] | None = None
    """What is kept to the letter, in training and in translation: `placeholders` ({0}, %s, %(name)d), `urls`, `markup`
    (<ph id="1"/>, &amp;), regular expressions of your own, or a list of these. Each text of a source becomes one piece,
    the first ten do, and its text stands in the translation where the model says that piece. null: nothing."""
    vocab_size: int = number(8000, ge=8)
    """Pieces, of the joint vocabulary or of each side's; `char` takes as many as there are characters."""
    joint: bool = True
    """One vocabulary for both languages."""
    byte_fallback: bool | None = None
    """Spell unknown characters in bytes; null: wherever the tokenizer can (bpe, unigram)."""
    character_coverage: float | None = number(None, gt=0, le=1)
    """Share of the text whose characters get a piece of their own, the most frequent first, as sentencepiece has it;
    null: 0.9995, and whatever comes more than three times, but no more than an alphabet or half of the vocabulary."""
    normalization: str = choice("identity", "nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf")
    """Sentencepiece's normalization rule; `identity` leaves all letters as they are."""
    raw_text: bool = False
    """Keep white space and format characters as they are. Otherwise each tab, no-break space and the like is read as a
    space, and format characters that no writing needs (soft hyphens, zero-width spaces, marks of direction) are left
    out, in training and in translation; joiners that a script or an emoji needs stay."""
    subword_sampling: float | None = number(None, gt=0, le=1)
    """Cut the training text into other pieces each time: of unigram the α that their probabilities are raised to (Kudo
    2018; for example 0.2), of bpe the share of merges that are left out (BPE-dropout, Provilkov 2020; 0.1). Batches are
    planned by the lengths without it. It is for long trainings: over 4 epochs of Multi30k it cost 10 BLEU. null: always
    the best pieces."""
    subword_nbest: int | None = number(None, ge=2, le=512)
    """Unigram draws from so many of the best segmentations (Kudo's l); null: from all."""
    max_length: int = number(200, ge=1)
    """Training pairs with more pieces (EOS included) on a side are dropped and counted."""
    max_length_ratio: float | None = number(None, ge=1)
    """Training pairs whose longer side has more than so many times the shorter's pieces (EOS left out) are dropped and
    counted; null: none."""
    drop_identical: bool = False
    """Drop and count training pairs whose two sides are the same text."""
    drop_duplicates: bool = False
    """Drop and count training pairs that stood in the same corpus before; white space around a side does not count."""
    reverse_source: bool = False
    """The encoder reads each source from its last piece to its first, EOS still at the end (Sutskever 2014); alignments
    and pictures are in the order of the text."""
    bleu_tokenizer: str | None = None
    """Sacrebleu's tokenizer; null: by the target language (Chinese -> zh, Japanese -> ja-mecab, Korean -> ko-mecab,
    others that are written without spaces, such as Thai -> char, else 13a)."""
    cache_dir: str = "runs/cache"

    def problems(self) -> Iterator[str]:
        """Lists that don't go with each other, and what the tokenizer can't do."""
        yield from self._corpus_problems()
        yield from self._subword_problems()

    def _corpus_problems(self) -> Iterator[str]:
        corpora = len(several(self.train))
        if not corpora:
            yield "data.train=[]: expected a corpus, or several, [a,b]."
        if len(set(several(self.valid))) != len(several(self.valid)) or self.valid == []:
            yield f"data.valid={self.valid}: expected a held-out set, or several, [a,b], each once."
        if self.valid is None and self.split.valid is None:
            yield (
                "data.valid: required, give data.valid=...; where nothing is held out, data.split.valid=1000 holds "
                "out 1000 pairs of data.train (0.01: a hundredth), and data.split.test as many for a test set."
            )
        for key, name, part in (("valid", self.valid, self.split.valid), ("test", self.test, self.split.test)):
            if name is not None and part is not None:
                yield f"data.{key}={name} and data.split.{key}={part}: two held-out sets for one purpose. Give one."
        if self.split.given() and self.source_lang == self.target_lang:
            yield (
                f"data.split and data.source_lang={self.source_lang}, data.target_lang={self.target_lang}: the parts "
                "are written as PART.LANGUAGE. Give each side a code of its own."
            )
        if self.alignments is not None and self.split.given():
            yield (
                f"data.alignments={self.alignments} and data.split: the alignments have a line for each pair of "
                "data.train, some of which the split takes away. Hold out pairs before you align."
            )
        for key, given in (("weights", self.weights), ("alignments", self.alignments)):
            if given is not None and len([given] if isinstance(given, str) else given) != corpora:
                yield (
                    f"data.{key}={given} and data.train={self.train}: one is needed for each corpus, {corpora} in all. "
                    f"Give as many, or leave data.{key}=null."
                )

    def _subword_problems(self) -> Iterator[str]:
        models = several(self.tokenizer_model)
        if self.tokenizer_model is not None and len(models) not in (1, 2):
            yield f"data.tokenizer_model={models}: expected one model, or [source,target]."
        if self.joint and len(set(models)) == 2:
            yield (
                f"data.joint=true and data.tokenizer_model={models}: two models are two vocabularies. Take "
                "data.joint=false, or give one model for both languages."
            )
        if self.protect and self.tokenizer_model:
            yield (
                f"data.protect={self.protect} and data.tokenizer_model={self.tokenizer_model}: that model has no "
                "pieces for protected text. Take data.tokenizer_model=null, or data.protect=null."
            )
        if self.byte_fallback and self.tokenizer in ("char", "word"):
            yield (
                f"data.byte_fallback=true and data.tokenizer={self.tokenizer}: only bpe and unigram can spell bytes. "
                "Leave data.byte_fallback=null."
            )
        if self.subword_sampling is not None and self.tokenizer in ("char", "word"):
            yield (
                f"data.subword_sampling={self.subword_sampling} and data.tokenizer={self.tokenizer}: there is one way "
                "only to cut a text into these. Take data.tokenizer=bpe or unigram, or data.subword_sampling=null."
            )
        if self.subword_nbest is not None and (self.subword_sampling is None or self.tokenizer != "unigram"):
            yield (
                f"data.subword_nbest={self.subword_nbest}, data.subword_sampling={self.subword_sampling} and "
                f"data.tokenizer={self.tokenizer}: only unigram draws from the best segmentations. Leave "
                "data.subword_nbest=null, or take data.tokenizer=unigram data.subword_sampling=0.2."
            )
        if self.subword_sampling is not None and self.alignments is not None:
            yield (
                f"data.subword_sampling={self.subword_sampling} and data.alignments={self.alignments}: the alignments "
                "are between the pieces that sampling replaces. Take data.subword_sampling=null, or "
                "data.alignments=null."
            )
