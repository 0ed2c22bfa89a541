"""Documents whose German pronouns can only be known from a noun in an earlier sentence.

A document introduces one thing, and comes back to it with "it", "its" or "this one". Whatever else it speaks of
is a person or plural, so that the English says what is meant. Things of the three genders are spoken of alike.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import NamedTuple

import lexicon as lex
from constraints import STATIVE_TENSES
from grammar import Clause, Coordination, Name, Nominal, NounPhrase, Pronoun, Sentence
from lexicon import Adjective, Determiner, Noun, PronounEntry, Verb
from sampler import QUANTIFIED, REPORTING_TENSES, SIMPLE_TENSES, Sampler
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
# A document says one thing of each row, so that it neither contradicts nor repeats itself.
SCALES = {
    word: row
    for row, words in enumerate(
        (
            "old new",
            "big small",
            "expensive cheap high low good",
            "heavy light",
            "dirty clean",
            "red blue green black white dark bright",
        )
    )
    for word in words.split(" ")
}
CHANGING = ("expensive", "cheap", "high", "low", "dirty", "clean", "happy", "sad", "tired", "sick")
"""What can be otherwise tomorrow, and so goes with the future and with a time"""
CITIES = tuple([en for en, _ in lex.CITIES])
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

    @property
    def pattern(self) -> tuple[str, str]:
        """What this sentence alone says of a thing."""
        (clause,) = self.sentences["n"].clauses
        return self.kind, clause.predicate.en if clause.predicate else clause.verb.en[0]


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

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.genders: Counter[tuple[tuple[str, str], str]] = Counter()
        """How often each pattern was said of a thing of each gender"""
        self.said: set[object] = set()
        """Scales on which the document has placed its thing"""

    def thing(self, *, plural: bool = False) -> NounPhrase:
        """A thing, singular or plural, perhaps with an adjective."""
        determiners = (lex.THE, lex.THIS, *lex.POSSESSIVES) if not plural else (lex.THE, *lex.CARDINALS[:4])
        adjective = self.pick(ADJECTIVES) if self.chance(0.3) else None
        return NounPhrase(self.pick(determiners), self.pick(THINGS[self.pick("mfn")]), plural, adjective)

    def describe(self, subject: Nominal, adjectives: Iterable[Adjective]) -> Clause:
        """What something is like."""
        predicate = self.pick(tuple(adjectives))
        changing = predicate.en in CHANGING
        clause = Clause(subject, BE, self.tense(BE, STATIVE_TENSES if changing else SIMPLE_TENSES), predicate=predicate)
        self.negate(clause)
        if changing and not clause.negated and self.chance(0.3):
            self.add_time(clause)
        return clause

    def unsaid(self, adjectives: Iterable[Adjective]) -> tuple[Adjective, ...]:
        """The adjectives on scales on which the document has not placed its thing."""
        return tuple([adjective for adjective in adjectives if _scale(adjective) not in self.said])

    def describe_thing(self, subject: Nominal, adjectives: tuple[Adjective, ...] = ADJECTIVES) -> Clause:
        """What the document's thing is like."""
        clause = self.describe(subject, self.unsaid(adjectives))
        self.said.add(_scale(clause.predicate))
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

    def act_once(self, target: Nominal) -> Clause:
        """What someone does with something there is: "no man buys a lamp" leaves no lamp to come back to."""
        while True:
            clause = self.act(VERBS, target)
            if not isinstance(clause.subject, NounPhrase) or clause.subject.determiner not in QUANTIFIED:
                clause.negated = False
                return clause

    def introduction(self) -> tuple[Sentence, NounPhrase, bool]:
        """A sentence, its thing and whether it has a distracting plural; the thing's noun is a placeholder."""
        thing = self.thing()
        if self.chance(0.4):
            thing.adjective = None
            return Sentence([self.describe_thing(thing)], []), thing, False
        distracts = self.chance(0.3)
        if distracts:
            other = self.thing(plural=True)
            thing.adjective = other.adjective = None
            pair = (thing, other) if self.chance(0.5) else (other, thing)
            clause = self.act_once(Coordination(pair[0], lex.AND, pair[1]))
        else:
            clause = self.act_once(thing)
        if thing.adjective:
            self.said.add(_scale(thing.adjective))
        exists = clause.tense in REPORTING_TENSES and clause.verb is not VERB["look for"]
        if exists and self.chance(0.7):  # who wants to buy a lamp, or looks for one, need not get it
            thing.determiner = lex.A
        return Sentence([clause], []), thing, distracts

    def reference(self, near: bool, last: bool) -> Reference:
        """A sentence that comes back to the thing.

        "This one" needs its thing near: else it could be one of several things, or somebody. Only the last sentence
        speaks of a price or a color, which a later "it" could mean.
        """
        draw = self.random()
        if draw < 0.7 or (draw < 0.85 and not near):
            pronoun = Pronoun(IT["n"])
            clause = self.describe_thing(pronoun) if self.chance(0.57) else self.act(VERBS, pronoun)
            return _in_all_genders("it", clause)
        if draw < 0.85:
            return _in_all_genders("this one", self.describe_thing(Pronoun(THIS_ONE["n"])))
        parts = [part for part in (PRICE, COLOR) if last and self.unsaid(PART_ADJECTIVES[part])]
        part = self.pick([*parts, OWNER])
        phrase = NounPhrase(ITS["n"], part)
        if part is not OWNER:
            return _in_all_genders("its", self.describe_thing(phrase, PART_ADJECTIVES[part]))
        act = self.chance(0.6)
        return _in_all_genders(
            "its", self.act(OWNER_VERBS, phrase) if act else self.describe(phrase, PART_ADJECTIVES[OWNER])
        )

    def between(self) -> tuple[Sentence, bool]:
        """A sentence about persons or about several things, and whether it is about things."""
        if self.chance(0.3):
            several = self.thing(plural=True)
            scale = _scale(several.adjective)
            return Sentence([self.describe(several, [word for word in ADJECTIVES if _scale(word) != scale])], []), True
        while True:
            sentence, mark = self.sentence()
            if mark == "." and len(sentence.clauses) == 1 and _speaks_of_persons(sentence):
                return sentence, False

    def rarest(self, references: Iterable[Reference]) -> str:
        """The gender of the things of which the same was said least often."""
        patterns = [reference.pattern for reference in references]
        counts = {gender: sum([self.genders[pattern, gender] for pattern in patterns]) for gender in "mfn"}
        return self.pick([gender for gender in "mfn" if counts[gender] == min(counts.values())])

    def document(self, size: int | None = None, gender: str | None = None) -> Document:
        """A document of two to four sentences, which ends by coming back to the thing.

        The noun is drawn last, so that nothing else but the plurals depends on it.
        """
        size = size or self.weighted(((2, 0.3), (3, 0.3), (4, 0.4)))
        introduced = int(size > 2 and self.chance(0.2))
        self.said.clear()
        before = [self.between() for _ in range(introduced)]
        introduction, thing, distracts = self.introduction()
        sentences = [*[sentence for sentence, _ in before], introduction]
        distractors = {place for place, (_, several) in enumerate([*before, (introduction, distracts)]) if several}
        references: dict[int, Reference] = {}
        for place in range(introduced + 1, size):
            if place < size - 1 and not self.chance(0.45):
                sentence, distracts = self.between()
                sentences.append(sentence)
                distractors |= {place} if distracts else set()
                continue
            previous = references.get(place - 1)
            near = previous.kind == "it" if previous else place - 1 == introduced
            references[place] = self.reference(near and not distractors, place == size - 1)
            sentences.append(references[place].sentences["n"])
        gender = gender or self.rarest(references.values())
        several = [node.noun for node in _nodes(sentences) if isinstance(node, NounPhrase) and node.plural]
        thing.noun = self.pick([noun for noun in THINGS[gender] if noun not in several])
        for place, reference in references.items():
            sentences[place] = reference.sentences[gender]
            self.genders[reference.pattern, gender] += 1
        return Document(sentences, gender, introduced, references, distractors)


def _scale(adjective: Adjective | None) -> object:
    """What the adjective measures."""
    return adjective and SCALES.get(adjective.en, adjective.en)


def _in_all_genders(kind: str, clause: Clause) -> Reference:
    """The sentence for a thing of each gender; its English is always the same."""
    forms: dict[str, Sentence] = {}
    table: dict[str, PronounEntry] = THIS_ONE if kind == "this one" else IT
    for gender in "mfn":
        parts: dict[str, Nominal] = {}
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
    """Whether nothing but persons is named, and no pronoun is "it"."""
    nodes = list(_nodes(tree))
    nouns = [node.noun for node in nodes if isinstance(node, NounPhrase)]
    words = [node.entry.en for node in nodes if isinstance(node, Pronoun)]
    words += [node.en for node in nodes if isinstance(node, Name)]
    return all(noun.kind in HUMAN for noun in nouns) and not {"it", *CITIES} & set(words)


def documents(seed: int) -> Iterator[Document]:
    """Endless documents."""
    sampler = DocumentSampler(random.Random(seed))
    while True:
        yield sampler.document()
