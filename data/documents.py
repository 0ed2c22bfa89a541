"""Documents whose German pronouns can only be known from a noun in an earlier sentence.

A document introduces one thing, and comes back to it with "it", "its" or "this one". Whatever else it speaks of is a
person or plural, so that the English says what is meant. Things of the three genders are spoken of alike.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import NamedTuple

import lexicon as lex
from grammar import Clause, Coordination, Nominal, NounPhrase, Pronoun, Sentence
from lexicon import Adjective, Determiner, Noun, PronounEntry, Verb
from sampler import Sampler
from verbs import BE, HUMAN, VERB

NEW_THINGS = lex.parse_nouns(
    "thing",
    """
        mirror mirrors m Spiegel Spiegels Spiegel
        umbrella umbrellas m Regenschirm Regenschirmes Regenschirme
        carpet carpets m Teppich Teppichs Teppiche
        suitcase suitcases m Koffer Koffers Koffer
        bottle bottles f Flasche Flasche Flaschen
        cup cups f Tasse Tasse Tassen
        box boxes f Kiste Kiste Kisten
        guitar guitars f Gitarre Gitarre Gitarren
        vase vases f Vase Vase Vasen
        radio radios n Radio Radios Radios
        phone phones n Telefon Telefons Telefone
        knife knives n Messer Messers Messer""",
)
OLD_THINGS = "table chair coat hat lamp clock bag picture book shirt bicycle bed"


def things(gender: str) -> tuple[Noun, ...]:
    """The things of a gender, as many as of any other."""
    old = tuple([lex.NOUN[word] for word in OLD_THINGS.split(" ")])
    return tuple([noun for noun in (*old, *NEW_THINGS) if noun.gender == gender])


def adjectives(words: str) -> tuple[Adjective, ...]:
    """Adjectives of the lexicon."""
    return tuple([lex.ADJECTIVE[word] for word in words.split(" ")])


THINGS = {gender: things(gender) for gender in "mfn"}
PRICE, COLOR, OWNER = lex.parse_nouns(
    "part",
    """
        price prices m Preis Preises Preise
        color colors f Farbe Farbe Farben
        owner owners m Besitzer Besitzers Besitzer""",
)
ADJECTIVES = (
    *adjectives("old new big small beautiful expensive cheap red blue green black white"),
    Adjective("heavy", "schwer", "schwer"),
    Adjective("light", "leicht", "leicht"),
    Adjective("dirty", "schmutzig", "schmutzig"),
    Adjective("clean", "sauber", "sauber"),
)
PART_ADJECTIVES = {
    PRICE: (*adjectives("good"), Adjective("high", "hoch", "hoh"), Adjective("low", "niedrig", "niedrig")),
    COLOR: (*adjectives("beautiful"), Adjective("dark", "dunkel", "dunkl"), Adjective("bright", "hell", "hell")),
    OWNER: adjectives("friendly happy sad tired sick rich old young"),
}
VERBS = tuple(VERB[word] for word in ("see", "find", "look for", "buy", "sell", "fetch"))
OWNER_VERBS = tuple(VERB[word] for word in ("see", "look for", "call", "invite", "help", "thank", "answer"))

IT = {
    "m": PronounEntry("it", "it", "er", "ihn", "ihm", 3, False),
    "f": PronounEntry("it", "it", "sie", "sie", "ihr", 3, False),
    "n": PronounEntry("it", "it", "es", "es", "ihm", 3, False),
}
THIS_ONE = {
    gender: PronounEntry("this one", "this one", nominative, accusative, dative, 3, False)
    for gender, nominative, accusative, dative in (
        ("m", "dieser", "diesen", "diesem"),
        ("f", "diese", "diese", "dieser"),
        ("n", "dieses", "dieses", "diesem"),
    )
}
ITS = {gender: Determiner("its", "its", de, "ein", True) for gender, de in (("m", "sein"), ("f", "ihr"), ("n", "sein"))}


class Reference(NamedTuple):
    """A sentence that comes back to the thing, in the forms of each gender."""

    kind: str
    """it, its or this one"""
    sentences: dict[str, Sentence]

    def german(self, gender: str) -> Sentence:
        return self.sentences[gender]


class Document(NamedTuple):
    """Sentences in order, and those that come back to the thing, by their place."""

    sentences: list[Sentence]
    gender: str
    introduced: int
    """Place of the sentence with the noun"""
    references: dict[int, Reference]
    distractors: set[int]
    """Places of sentences with a plural thing that the pronoun can't mean"""


class DocumentSampler(Sampler):
    """Draws documents."""

    def thing(self, gender: str, *, plural: bool = False) -> NounPhrase:
        """A thing, singular or plural, perhaps with an adjective."""
        determiners = (lex.THE, lex.THIS, *lex.POSSESSIVES) if not plural else (lex.THE, *lex.CARDINALS[:4])
        adjective = self.pick(ADJECTIVES) if self.chance(0.3) else None
        return NounPhrase(self.pick(determiners), self.pick(THINGS[gender]), plural, adjective)

    def plural(self) -> NounPhrase:
        """Several things of any gender."""
        return self.thing(self.pick("mfn"), plural=True)

    def describe(self, subject: Nominal, adjectives: tuple[Adjective, ...] = ADJECTIVES) -> Clause:
        """What something is like."""
        clause = Clause(subject, BE, self.tense(BE), predicate=self.pick(adjectives))
        self.negate(clause)
        if not clause.negated and self.chance(0.2):
            self.add_time(clause)
        return clause

    def act(self, verbs: tuple[Verb, ...], target: Nominal) -> Clause:
        """What a person does with something."""
        verb = self.pick(verbs)
        tense = self.tense(verb)
        while True:
            subject = self.subject(("person",), second=tense != "preterite")  # German has no form for "du" there
            if _speaks_of_persons(subject):
                break
        clause = Clause(subject, verb, tense, object=target)
        if isinstance(target, Pronoun | NounPhrase) and clause.tense != "want":
            self.negate(clause, 0.1)
        if self.chance(0.35):
            self.add_time(clause)
        return clause

    def introduction(self, gender: str) -> tuple[Sentence, bool]:
        """A sentence with the noun, and whether it has a distracting plural."""
        thing = self.thing(gender)
        if self.chance(0.4):
            if thing.adjective:
                thing.adjective = None
            return Sentence([self.describe(thing)], []), False
        if self.chance(0.5):
            thing.determiner = lex.A
        if self.chance(0.3):
            thing.adjective = None
            other = self.plural()
            while other.noun is thing.noun:
                other = self.plural()
            other.adjective = None
            pair = (thing, other) if self.chance(0.5) else (other, thing)
            return Sentence([_positive(self.act(VERBS, Coordination(pair[0], lex.AND, pair[1])))], []), True
        return Sentence([_positive(self.act(VERBS, thing))], []), False

    def reference(self) -> Reference:
        """A sentence that comes back to the thing."""
        draw = self.random()
        if draw < 0.7:
            pronoun = Pronoun(IT["n"])
            clause = self.describe(pronoun) if draw < 0.4 else self.act(VERBS, pronoun)
            return _in_all_genders("it", clause)
        if draw < 0.82:
            return _in_all_genders("this one", self.describe(Pronoun(THIS_ONE["n"])))
        part = self.pick((PRICE, COLOR, OWNER))
        phrase = NounPhrase(ITS["n"], part)
        if part is OWNER and self.chance(0.6):
            return _in_all_genders("its", self.act(OWNER_VERBS, phrase))
        return _in_all_genders("its", self.describe(phrase, PART_ADJECTIVES[part]))

    def between(self) -> tuple[Sentence, bool]:
        """A sentence about persons or about several things, and whether it is about things."""
        if self.chance(0.3):
            return Sentence([self.describe(self.plural())], []), True
        while True:
            sentence, mark = self.sentence()
            if mark == "." and len(sentence.clauses) == 1 and _speaks_of_persons(sentence):
                return sentence, False

    def document(self, size: int | None = None, gender: str | None = None) -> Document:
        """A document of two to four sentences, which ends by coming back to the thing."""
        gender = gender or self.pick("mfn")
        size = size or self.weighted(((2, 0.3), (3, 0.3), (4, 0.4)))
        introduced = int(size > 2 and self.chance(0.2))
        sentences: list[Sentence] = []
        distractors: set[int] = set()
        references: dict[int, Reference] = {}
        for place in range(size):
            if place > introduced and (place == size - 1 or self.chance(0.45)):
                references[place] = self.reference()
                sentences.append(references[place].sentences[gender])
                continue
            sentence, distracts = self.introduction(gender) if place == introduced else self.between()
            sentences.append(sentence)
            if distracts:
                distractors.add(place)
        return Document(sentences, gender, introduced, references, distractors)


def _positive(clause: Clause) -> Clause:
    """The clause without negation: what is not bought need not be there."""
    clause.negated = False
    return clause


def _in_all_genders(kind: str, clause: Clause) -> Reference:
    """The sentence for a thing of each gender; its English is always the same."""
    forms: dict[str, Sentence] = {}
    table: dict[str, PronounEntry] = THIS_ONE if kind == "this one" else IT
    for gender in "mfn":
        parts = {}
        for role in ("subject", "object"):
            part = getattr(clause, role)
            if isinstance(part, Pronoun) and part.entry.en == table["n"].en:
                parts[role] = Pronoun(table[gender])
            elif isinstance(part, NounPhrase) and part.determiner.en == "its":
                parts[role] = NounPhrase(ITS[gender], part.noun)
        values = {field.name: getattr(clause, field.name) for field in fields(clause)}
        forms[gender] = Sentence([Clause(**{**values, **parts})], [])
    return Reference(kind, forms)


def _nodes(value: object) -> Iterator[object]:
    """A tree's nodes."""
    if isinstance(value, list):
        for item in value:
            yield from _nodes(item)
    elif is_dataclass(value):
        yield value
        for field in fields(value):
            yield from _nodes(getattr(value, field.name))


def _speaks_of_persons(tree: object) -> bool:
    """Whether no noun is a thing or an animal, and no pronoun is "it"."""
    nouns = [node.noun for node in _nodes(tree) if isinstance(node, NounPhrase)]
    pronouns = [node.entry.en for node in _nodes(tree) if isinstance(node, Pronoun)]
    return all(noun.kind in HUMAN for noun in nouns) and "it" not in pronouns


def documents(seed: int) -> Iterator[Document]:
    """Endless documents."""
    sampler = DocumentSampler(random.Random(seed))
    while True:
        yield sampler.document()
