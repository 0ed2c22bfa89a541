"""The embedded corpus: grammar, alignments, splits and reproducibility."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

DATA = ROOT / "data"
sys.path.insert(0, str(DATA))

import english  # noqa: E402
import generate  # noqa: E402
import lexicon as lex  # noqa: E402
from grammar import (  # noqa: E402
    Clause,
    Coordination,
    Name,
    NounPhrase,
    Prepositional,
    Pronoun,
    RelativePronoun,
    Sentence,
    Shared,
    Subordinate,
    WhPronoun,
    surface,
)
from sampler import Sampler  # noqa: E402
from verbs import BE, VERB  # noqa: E402

SIZES = {"train": 8000, "valid": 500, "test": 500, "long": 300}
Corpus = dict[str, list[tuple[str, str, str]]]


def np(determiner: lex.Determiner, noun: str, adjective: str = "", **fields: Any) -> NounPhrase:
    modifier = lex.ADJECTIVE[adjective] if adjective else None
    return NounPhrase(determiner, lex.NOUN[noun], adjective=modifier, **fields)


def pro(word: str) -> Pronoun:
    return Pronoun(lex.PRONOUN[word])


def pp(preposition: str, complement: Any) -> Prepositional:
    return Prepositional(lex.PREPOSITION[preposition], complement)


def who_relative(noun: str, verb: str, tense: str = "present", **fields: Any) -> Clause:
    return Clause(RelativePronoun(lex.NOUN[noun], False), VERB[verb], tense, front="subject", **fields)


def clause(subject: Any, verb: str, tense: str = "present", **fields: Any) -> Clause:
    return Clause(subject, VERB[verb], tense, **fields)


THE, A, MY, HIS = lex.THE, lex.A, lex.POSSESSIVES[0], lex.POSSESSIVES[2]
ANNA = Name("Anna", "Anna")
THREE = next(entry for entry in lex.CARDINALS if entry.en_plural == "three")
TWELVE = next(entry for entry in lex.CARDINALS if entry.en_plural == "12")

# (tree, English, German, alignment or None)
CONSTRUCTIONS: list[tuple[Clause, str, str, str | None]] = [
    (clause(np(THE, "dog"), "sleep"), "The dog sleeps.", "Der Hund schläft.", "0-0 1-1 2-2"),
    (
        clause(np(THE, "man"), "buy", "perfect", object=np(A, "hat", "old")),
        "The man has bought an old hat.",
        "Der Mann hat einen alten Hut gekauft.",
        "0-0 1-1 2-2 3-6 4-3 5-4 6-5",
    ),
    (
        clause(np(THE, "boy"), "see", negated=True, object=np(THE, "girl")),
        "The boy does not see the girl.",
        "Der Junge sieht das Mädchen nicht.",
        "0-0 1-1 2-2 3-5 4-2 5-3 6-4",
    ),
    (
        clause(pro("she"), "buy", "preterite", negated=True, object=np(A, "lamp")),
        "She did not buy a lamp.",
        "Sie kaufte keine Lampe.",
        "0-0 1-1 2-2 3-1 4-2 5-3",
    ),
    (
        clause(pro("I"), "drink", negated=True, object=np(lex.BARE, "coffee", "cold")),
        "I do not drink cold coffee.",
        "Ich trinke keinen kalten Kaffee.",
        "0-0 1-1 2-2 3-1 4-3 5-4",
    ),
    (
        clause(np(THE, "student"), "get up", manner=lex.MANNERS["hour"][0]),
        "The student gets up early.",
        "Der Student steht früh auf.",
        "0-0 1-1 2-2 2-4 3-2 3-4 4-3",
    ),
    (
        clause(np(MY, "sister"), "get up", "perfect", negated=True),
        "My sister has not gotten up.",
        "Meine Schwester ist nicht aufgestanden.",
        "0-0 1-1 2-2 3-3 4-4 5-4",
    ),
    (
        clause(np(THE, "man"), "buy", object=np(A, "clock", "red"), time=lex.TODAY, front="time"),
        "Today the man buys a red clock.",
        "Heute kauft der Mann eine rote Uhr.",
        "0-0 1-2 2-3 3-1 4-4 5-5 6-6",
    ),
    (
        clause(np(THE, "child"), "go", "future", place=pp("to", np(THE, "school"))),
        "The child will go to the school.",
        "Das Kind wird zur Schule gehen.",
        "0-0 1-1 2-2 3-5 4-3 5-3 6-4",
    ),
    (
        clause(np(THE, "cat"), "sit", place=pp("in", np(THE, "garden", "small"))),
        "The cat sits in the small garden.",
        "Die Katze sitzt im kleinen Garten.",
        "0-0 1-1 2-2 3-3 4-3 5-4 6-5",
    ),
    (
        clause(np(THE, "cat"), "run", place=pp("into", np(THE, "house"))),
        "The cat runs into the house.",
        "Die Katze läuft ins Haus.",
        "0-0 1-1 2-2 3-3 4-3 5-4",
    ),
    (
        clause(pro("we"), "read", "want", object=np(THE, "book", plural=True)),
        "We want to read the books.",
        "Wir wollen die Bücher lesen.",
        "0-0 1-1 2-4 3-4 4-2 5-3",
    ),
    (
        clause(pro("they"), "work", "can", negated=True, time=lex.NOW),
        "They cannot work now.",
        "Sie können jetzt nicht arbeiten.",
        "0-0 1-1 1-3 2-4 3-2",
    ),
    (
        clause(pro("he"), "give", recipient=np(THE, "child"), object=np(A, "apple"), time=lex.TODAY),
        "He gives the child an apple today.",
        "Er gibt heute dem Kind einen Apfel.",
        "0-0 1-1 2-3 3-4 4-5 5-6 6-2",
    ),
    (
        clause(np(THE, "woman"), "show", recipient=pro("they"), object=np(MY, "picture", plural=True)),
        "The woman shows them my pictures.",
        "Die Frau zeigt ihnen meine Bilder.",
        None,
    ),
    (
        clause(pro("you"), "help", object=np(THE, "neighbor", plural=True), interrogative=True),
        "Do you help the neighbors?",
        "Hilfst du den Nachbarn?",
        "0-0 1-1 2-0 3-2 4-3",
    ),
    (
        clause(WhPronoun(True), "listen to", object=np(THE, "doctor"), front="subject", interrogative=True),
        "Who listens to the doctor?",
        "Wer hört dem Arzt zu?",
        "0-0 1-1 1-4 2-1 2-4 3-2 4-3",
    ),
    (
        clause(ANNA, "see", "preterite", object=WhPronoun(True), front="object", interrogative=True),
        "Whom did Anna see?",
        "Wen sah Anna?",
        "0-0 1-1 2-2 3-1",
    ),
    (
        clause(ANNA, "help", object=WhPronoun(True), front="object", interrogative=True),
        "Whom does Anna help?",
        "Wem hilft Anna?",
        None,
    ),
    (
        clause(pro("he"), "go", "perfect", question=lex.WHERE_TO, front="question", interrogative=True),
        "Where has he gone?",
        "Wohin ist er gegangen?",
        None,
    ),
    (
        clause(
            pro("she"),
            "eat",
            object=NounPhrase(lex.HOW_MANY, lex.NOUN["egg"], True),
            front="object",
            interrogative=True,
        ),
        "How many eggs does she eat?",
        "Wie viele Eier isst sie?",
        None,
    ),
    (
        clause(
            np(THE, "man"),
            "sleep",
            adverbial=Subordinate(lex.BECAUSE, clause(pro("he"), "work", "perfect", time=lex.TODAY)),
        ),
        "The man sleeps because he has worked today.",
        "Der Mann schläft, weil er heute gearbeitet hat.",
        "0-0 1-1 2-2 3-3 4-4 5-7 6-6 7-5",
    ),
    (
        clause(
            np(THE, "guest"),
            "wait",
            adverbial=Subordinate(lex.WHEN_NOW, clause(np(THE, "bird"), "sing")),
            adverbial_first=True,
        ),
        "When the bird sings, the guest waits.",
        "Wenn der Vogel singt, wartet der Gast.",
        "0-0 1-1 2-2 3-3 4-5 5-6 6-4",
    ),
    (
        clause(
            pro("I"),
            "laugh",
            "preterite",
            adverbial=Subordinate(lex.WHEN_PAST, clause(pro("he"), "arrive", "preterite")),
        ),
        "I laughed when he arrived.",
        "Ich lachte, als er ankam.",
        None,
    ),
    (
        clause(
            ANNA,
            "know that",
            complement=Subordinate(lex.THAT, clause(np(HIS, "friend", plural=True), "get up", negated=True)),
        ),
        "Anna knows that his friends do not get up.",
        "Anna weiß, dass seine Freunde nicht aufstehen.",
        "0-0 1-1 2-2 3-3 4-4 5-6 6-5 7-6 8-6",
    ),
    (
        clause(np(THE, "man", relative=who_relative("man", "sing")), "dance"),
        "The man who sings dances.",
        "Der Mann, der singt, tanzt.",
        "0-0 1-1 2-2 3-3 4-4",
    ),
    (
        clause(
            pro("she"),
            "find",
            "perfect",
            object=np(
                THE,
                "dog",
                relative=clause(
                    np(THE, "boy", plural=True), "see", object=RelativePronoun(lex.NOUN["dog"], False), front="object"
                ),
            ),
        ),
        "She has found the dog that the boys see.",
        "Sie hat den Hund gefunden, den die Jungen sehen.",
        "0-0 1-1 2-4 3-2 4-3 5-5 6-6 7-7 8-8",
    ),
    (
        Clause(
            np(
                THE,
                "house",
                relative=clause(
                    pro("we"), "live", place=pp("in", RelativePronoun(lex.NOUN["house"], False)), front="place"
                ),
            ),
            BE,
            predicate=lex.ADJECTIVE["expensive"],
        ),
        "The house in which we live is expensive.",
        "Das Haus, in dem wir wohnen, ist teuer.",
        None,
    ),
    (
        clause(
            np(THE, "brother", owner=np(THE, "student")),
            "have",
            "preterite",
            object=np(TWELVE, "shirt", "white", plural=True),
        ),
        "The brother of the student had 12 white shirts.",
        "Der Bruder des Studenten hatte 12 weiße Hemden.",
        "0-0 1-1 2-2 3-2 4-3 5-4 6-5 7-6 8-7",
    ),
    (
        Clause(np(lex.NO, "child"), BE, "preterite", predicate=lex.ADJECTIVE["tired"]),
        "No child was tired.",
        "Kein Kind war müde.",
        None,
    ),
    (
        clause(
            Coordination(np(THE, "farmer"), lex.AND, ANNA),
            "travel",
            "perfect",
            place=Prepositional(lex.TO_CITY, Name("Munich", "München")),
            company=pp("with", np(THREE, "friend", plural=True)),
        ),
        "The farmer and Anna have traveled to Munich with three friends.",
        "Der Bauer und Anna sind mit drei Freunden nach München gereist.",
        "0-0 1-1 2-2 3-3 4-4 5-10 6-8 7-9 8-5 9-6 10-7",
    ),
    (
        clause(pro("he"), "read", "perfect", frequency=lex.FREQUENCIES[2], object=np(lex.THIS, "letter")),
        "He has never read this letter.",
        "Er hat diesen Brief nie gelesen.",
        "0-0 1-1 2-4 3-5 4-2 5-3",
    ),
    (
        clause(pro("it"), "rain", "future", time=lex.EVENING),
        "It will rain in the evening.",
        "Es wird am Abend regnen.",
        "0-0 1-1 2-4 3-2 4-2 5-3",
    ),
]


def test_constructions() -> None:
    for tree, expected_en, expected_de, links in CONSTRUCTIONS:
        pair = generate.realise(Sentence([tree], []), expected_en[-1])
        assert (pair.en, pair.de) == (expected_en, expected_de)
        assert links is None or pair.align == links


def test_coordination_of_clauses_and_verb_phrases() -> None:
    first = clause(np(THE, "man"), "eat", object=np(A, "tomato"))
    shared = clause(Shared(first.subject), "close", object=np(THE, "window", plural=True))
    pair = generate.realise(Sentence([first, shared], [lex.AND]))
    assert pair.en == "The man eats a tomato and closes the windows."
    assert pair.de == "Der Mann isst eine Tomate und macht die Fenster zu."
    assert pair.align == "0-0 1-1 2-2 3-3 4-4 5-5 6-6 6-9 7-7 8-8"
    second = clause(np(THE, "mother"), "sing", time=lex.TODAY, front="time")
    pair = generate.realise(Sentence([first, second], [lex.BUT]))
    assert pair.en == "The man eats a tomato, but today the mother sings."
    assert pair.de == "Der Mann isst eine Tomate, aber heute singt die Mutter."


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return {
        split: list(
            zip(
                *(
                    (DATA / "embedded" / f"{split}.{side}").read_text(encoding="utf-8").splitlines()
                    for side in ("en", "de", "align")
                ),
                strict=True,
            )
        )
        for split in SIZES
    }


def words(sentences: list[str]) -> Counter[str]:
    return Counter(word.strip(".,?").lower() for sentence in sentences for word in sentence.split())


def assert_fully_aligned(english: str, german: str, align: str) -> None:
    links = [tuple(map(int, link.split("-"))) for link in align.split()]
    assert links == sorted(set(links))
    assert {i for i, _ in links} == set(range(len(english.split())))
    assert {j for _, j in links} == set(range(len(german.split())))


def test_embedded_corpus_is_reproduced_byte_for_byte(tmp_path: Path) -> None:
    generate.write_embedded(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in (DATA / "embedded").iterdir() if path.is_file())
    for name in names:
        assert (tmp_path / name).read_bytes() == (DATA / "embedded" / name).read_bytes(), name


def test_sizes_lengths_and_vocabulary(corpus: Corpus) -> None:
    assert {split: len(rows) for split, rows in corpus.items()} == SIZES
    train = corpus["train"]
    for side in (0, 1):
        lengths = [len(row[side].split()) for row in train]
        assert sum(lengths) / len(lengths) >= 9
        assert (min(lengths), max(lengths)) == (4, 18)
        assert all(20 <= len(row[side].split()) <= 45 for row in corpus["long"])
    assert 600 <= len(words([row[1] for row in train])) <= 1000


def test_every_lexeme_is_frequent_in_train(corpus: Corpus) -> None:
    english = words([row[0] for row in corpus["train"]])
    forms: list[tuple[str, ...]] = [(noun.en, noun.en_plural) for nouns in lex.NOUNS.values() for noun in nouns]
    forms += [(word,) for word in lex.ADJECTIVE]
    forms += [tuple({*verb.en} - {""}) for verb in VERB.values()]
    for lexeme in forms:
        assert sum(english[form] for form in lexeme if form) >= 20, lexeme


def test_splits_are_disjoint(corpus: Corpus) -> None:
    sources = [english for rows in corpus.values() for english, _, _ in rows]
    assert len(sources) == len(set(sources))


def test_held_out_words_are_known_from_train(corpus: Corpus) -> None:
    for side in (0, 1):
        known = words([row[side] for row in corpus["train"]])
        for split in ("valid", "test", "long"):
            found = words([row[side] for row in corpus[split]])
            unknown = sum(count for word, count in found.items() if word not in known)
            assert unknown / found.total() < 0.002


def test_every_word_of_the_corpus_is_aligned(corpus: Corpus) -> None:
    for rows in corpus.values():
        for row in rows:
            assert_fully_aligned(*row)


def test_translation_is_a_function_of_the_source() -> None:
    """Clauses on their own, since longer sentences hardly ever repeat; German is made for repeated sources only."""
    sampler = Sampler(random.Random(11))
    draws = [sampler.statement, sampler.yes_no_question, lambda: sampler.statement(rich=False), sampler.wh_question]
    trees: dict[str, tuple[Sentence, str]] = {}
    repeated = 0
    for draw in itertools.islice(itertools.cycle(draws), 25_000):
        sentence = Sentence([draw()], [])
        mark = "?" if sentence.clauses[0].interrogative else "."
        source, _ = surface(english.sentence(sentence), mark)
        first = trees.setdefault(source, (sentence, mark))
        if first[0] is not sentence:
            repeated += 1
            assert generate.realise(*first) == generate.realise(sentence, mark)
    assert repeated > 400


def test_command_writes_the_requested_pairs(tmp_path: Path) -> None:
    arguments = ["--pairs", "50", "--seed", "3", "--min-words", "20", "--max-words", "30", "--unique"]
    command = [sys.executable, str(DATA / "generate.py"), "--output", str(tmp_path / "x"), *arguments]
    subprocess.run(command, check=True)
    sides = [(tmp_path / f"x.{side}").read_text(encoding="utf-8").splitlines() for side in ("en", "de", "align")]
    assert [len(side) for side in sides] == [50, 50, 50]
    assert len(set(sides[0])) == 50
    for row in zip(*sides, strict=True):
        assert_fully_aligned(*row)
        assert all(20 <= len(side.split()) <= 30 for side in row[:2])
