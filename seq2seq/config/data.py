"""Options of the corpora: where they are, how they are cut into sub-words, and which pairs are trained on."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from seq2seq.config.schema import REQUIRED, choice, number


def several(names: str | list[str] | None) -> list[str]:
    """Return one name, several or none as a list."""
    return [names] if isinstance(names, str) else names or []


@dataclass(frozen=True)
class Split:
    """Pairs of data.train to hold out. A number below 1 is a share. No source sentence is in two parts, or where there
    is data.context, no document."""

    valid: float | None = number(None, gt=0)
    """Pairs to hold out for validation: a number of pairs or, below 1, a share. null: none."""
    test: float | None = number(None, gt=0)
    """Pairs to hold out as a test set: a number of pairs or, below 1, a share. null: none."""
    seed: int = number(1, ge=0)
    """Seed that selects the pairs. It does not depend on `seed`, so that the scores of runs with different seeds can be
    compared."""

    def given(self) -> bool:
        """Tell whether anything is held out."""
        return (self.valid, self.test) != (None, None)

    def problems(self) -> Iterator[str]:
        """Yield an error for each number that is neither a share nor whole."""
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
    """Training corpus: a prefix (PREFIX.en and PREFIX.de, also as .gz) or a table (.tsv, .csv, .jsonl, .parquet).
    Several, [a,b], are trained on together; sub-words are learned from each of them once."""
    valid: str | list[str] | None = None
    """Validation corpus, required unless data.split.valid is given. With several, [a,b], the first selects
    checkpoints and controls learning rate and early stopping; all are reported, as `valid/NAME` in metrics.jsonl."""
    test: str | None = None
    """Test corpus, translated and scored once at the end of training."""
    source_lang: str = REQUIRED
    """Source language, by its code, such as en."""
    target_lang: str = REQUIRED
    """Target language, by its code, such as de."""
    split: Split = field(default_factory=Split)
    vocab_size: int = number(8000, ge=8)
    """Pieces in the joint vocabulary, or in the vocabulary of each side. `char` has one for each character."""
    tokenizer: str = choice("bpe", "unigram", "char", "word")
    """Kind of sub-words."""
    joint: bool = True
    """Learn one vocabulary for both languages."""
    max_length: int = number(200, ge=1)
    """Maximum pieces on a side of a training pair, EOS included. Longer pairs are dropped and counted."""
    max_length_ratio: float | None = number(None, ge=1)
    """Maximum ratio between the numbers of pieces on the two sides of a training pair, without EOS. Other pairs are
    dropped and counted. null: no limit."""
    drop_identical: bool = False
    """Drop and count training pairs whose two sides are the same text."""
    drop_duplicates: bool = False
    """Drop and count training pairs that occurred earlier in the same corpus, ignoring white space at both ends of a
    side."""
    weights: list[int] | None = field(default=None, metadata={"ge": 1})
    """Number of times that each corpus of data.train occurs in an epoch, such as [3,1] (upsampling as in fairseq).
    Whole numbers make every epoch the same pairs. null: once each."""
    columns: list[str] | None = field(default=None, metadata={"length": 2})
    """Source and target columns of tables: names or, if no row has names, numbers from 1, such as [2,1]. null: the
    first two of a TSV; in other tables, those named after the language codes, or `source` and `target`."""
    context: int = number(0, ge=0, le=64)
    """Number of preceding source sentences of the same document that model/context reads. A line that is blank on both
    sides ends a document. They count even where their own pair was dropped."""
    documents: str | None = None
    """Where each pair's document is named, if blank lines do not separate them: the column of tables, or the ending of
    a file beside the two of a corpus (`doc`: CORPUS.doc), with a line for each pair. null: the column `document` of a
    table that has one, else blank lines."""
    alignments: str | list[str] | None = None
    """Word alignments of data.train for training.guided_alignment: one file, also as .gz, for each corpus. Each line
    has links `i-j` between source word i and target word j, counted from 0."""
    tokenizer_model: str | list[str] | None = None
    """Sentencepiece model to use instead of learning one, for both languages or [source,target]. Train it with
    pad_id=0, unk_id=1, bos_id=2, eos_id=3. Checkpoints hold a copy. Options for learning pieces then have no effect."""
    protect: str | list[str] | None = None
    """Text to copy unchanged, in training and translation: `placeholders` ({0}, %s, %(name)d), `urls`, `markup` (<ph
    id="1"/>, &amp;), regular expressions, or a list of these. Each of the first ten such texts of a source becomes
    one piece; where the model writes that piece, the translation gets the text. null: nothing."""
    byte_fallback: bool | None = None
    """Spell unknown characters in bytes. null: if the tokenizer can (bpe, unigram)."""
    character_coverage: float | None = number(None, gt=0, le=1)
    """Share of the text whose characters get their own piece, the most frequent first, as in sentencepiece. null:
    0.9995, plus every character that occurs more than three times, up to the size of an alphabet or half of the
    vocabulary."""
    normalization: str = choice("identity", "nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf")
    """Sentencepiece's normalisation rule. `identity` keeps all letters as they are."""
    raw_text: bool = False
    """Keep white space and format characters unchanged. Otherwise, in training and translation, tabs, no-break spaces
    and the like become spaces, and format characters that no script needs are removed (soft hyphens, zero-width
    spaces, direction marks); joiners that a script or an emoji needs stay."""
    subword_sampling: float | None = number(None, gt=0, le=1)
    """Segment the training text differently each time. For unigram, the exponent α of the probabilities (Kudo 2018,
    for example 0.2); for bpe, the share of merges left out (BPE-dropout, Provilkov 2020, for example 0.1). null:
    always the best segmentation. It helps in long trainings only: over 4 epochs of Multi30k it lost 10 BLEU. Batches
    are planned by the lengths without it."""
    subword_nbest: int | None = number(None, ge=2, le=512)
    """Number of best segmentations that unigram sampling draws from (Kudo's l). null: all."""
    reverse_source: bool = False
    """Encode each source from its last piece to its first, with EOS still at the end (Sutskever 2014). Alignments and
    pictures keep the order of the text."""
    bleu_tokenizer: str | None = None
    """Sacrebleu's tokenizer. null: chosen by the target language (zh for Chinese, ja-mecab for Japanese, ko-mecab for
    Korean, char for others written without spaces, else 13a)."""
    cache_dir: str = "runs/cache"
    """Directory for encoded corpora and learned sub-words."""

    def problems(self) -> Iterator[str]:
        """Yield an error for lists that do not fit, and for what the tokenizer can't do."""
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
                f"data.joint=true and data.tokenizer_model={models}: two models are two vocabularies. Use "
                "data.joint=false, or give one model for both languages."
            )
        if self.protect and self.tokenizer_model:
            yield (
                f"data.protect={self.protect} and data.tokenizer_model={self.tokenizer_model}: that model has no "
                "pieces for protected text. Use data.tokenizer_model=null, or data.protect=null."
            )
        if self.byte_fallback and self.tokenizer in ("char", "word"):
            yield (
                f"data.byte_fallback=true and data.tokenizer={self.tokenizer}: only bpe and unigram can spell bytes. "
                "Leave data.byte_fallback=null."
            )
        if self.subword_sampling is not None and self.tokenizer in ("char", "word"):
            yield (
                f"data.subword_sampling={self.subword_sampling} and data.tokenizer={self.tokenizer}: there is only "
                "one way to segment text with it. Use data.tokenizer=bpe or unigram, or data.subword_sampling=null."
            )
        if self.subword_nbest is not None and (self.subword_sampling is None or self.tokenizer != "unigram"):
            yield (
                f"data.subword_nbest={self.subword_nbest}, data.subword_sampling={self.subword_sampling} and "
                f"data.tokenizer={self.tokenizer}: only unigram draws from the best segmentations. Leave "
                "data.subword_nbest=null, or use data.tokenizer=unigram data.subword_sampling=0.2."
            )
        if self.subword_sampling is not None and self.alignments is not None:
            yield (
                f"data.subword_sampling={self.subword_sampling} and data.alignments={self.alignments}: the alignments "
                "are between the pieces that sampling replaces. Use data.subword_sampling=null, or "
                "data.alignments=null."
            )
