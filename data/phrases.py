"""Random sampling of noun phrases and prepositional phrases."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

import lexicon as lex
from constraints import RESTRICTABLE
from grammar import Coordination, Name, Nominal, NounPhrase, Prepositional, Pronoun
from lexicon import Determiner, Noun
from verbs import CREATURE, HUMAN

T = TypeVar("T")

# Narrower selections than the kinds of the noun table, for verbs with few sensible objects.
SELECTIONS: dict[str, tuple[Noun, ...]] = {
    "cookable": tuple(lex.NOUN[word] for word in ("egg", "potato", "soup")),
    "garment": tuple(lex.NOUN[word] for word in ("coat", "shirt", "dress")),
    "gift": (lex.NOUN["gift"],),
    "story": (lex.NOUN["story"],),
}
SURFACES = tuple(lex.NOUN[word] for word in ("table", "chair", "bed"))
# "His man" would read as an idiom in both languages; nobody has two mothers.
UNOWNED = tuple(lex.NOUN[word] for word in ("man", "woman", "boy", "girl", "farmer", "artist"))
SINGULAR = tuple(lex.NOUN[word] for word in ("mother", "father", "grandmother"))
SMALL_THINGS = ("clothing", "reading", "thing", "food")


class PhraseSampler:
    """Draws phrases from the lexicon; only `random()` is used, so a seed gives the same draws anywhere."""

    def __init__(self, rng: random.Random) -> None:
        self.random = rng.random

    def chance(self, probability: float) -> bool:
        """Bernoulli draw."""
        return self.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        """Uniform draw."""
        return options[int(self.random() * len(options))]

    def weighted(self, options: Sequence[tuple[T, float]]) -> T:
        """Draw in proportion to weights that sum to one."""
        rest = self.random()
        for option, weight in options:
            rest -= weight
            if rest < 0:
                return option
        return options[-1][0]

    def noun(self, kinds: Sequence[str]) -> Noun:
        """A noun of one of the kinds."""
        kind = self.pick(kinds)
        return self.pick(SELECTIONS[kind] if kind in SELECTIONS else lex.NOUNS[kind])

    def number(self, noun: Noun, probability: float) -> bool:
        """Whether the noun is to be plural."""
        return bool(noun.en_plural) and noun not in SINGULAR and self.chance(probability)

    def possessive(self, noun: Noun) -> Determiner:
        """A possessive, or the article for nouns that do not take one."""
        return lex.THE if noun in UNOWNED else self.pick(lex.POSSESSIVES)

    def determiner(self, noun: Noun, plural: bool, subject: bool) -> Determiner:
        """A determiner that suits the noun."""
        draw = self.random()
        if not noun.en_plural:
            return lex.BARE if draw < 0.5 and not subject else lex.THE if draw < 0.85 else lex.THIS
        if noun.kind == "relative" and draw < 0.6:
            return self.pick(lex.POSSESSIVES)
        draw = self.random()
        if plural:
            if draw < 0.38:
                return lex.THE
            if draw < 0.55:
                return self.possessive(noun)
            if draw < 0.65:
                return lex.THIS
            if draw < 0.80:
                return self.pick(lex.CARDINALS)
            return lex.MANY if draw < 0.87 or subject else lex.BARE
        if draw < 0.48:
            return lex.THE
        if draw < 0.72:
            return lex.A
        if draw < 0.89:
            return self.possessive(noun)
        if draw < 0.95:
            return lex.THIS
        return lex.NO if draw < 0.98 and subject else lex.EVERY

    def noun_phrase(self, kinds: Sequence[str], *, subject: bool = False, adjective: float = 0.3) -> NounPhrase:
        """A noun phrase of one of the kinds, perhaps with an adjective or a genitive."""
        noun = self.noun(kinds)
        plural = self.number(noun, 0.3)
        phrase = NounPhrase(self.determiner(noun, plural, subject), noun, plural)
        if noun.kind in ("relative", "vehicle", "opening") and phrase.determiner is lex.THE:
            owned = 0.5 if noun.kind == "relative" else 0.3
            if self.chance(owned):
                phrase.owner = self.owner("building" if noun.kind == "opening" else "person")
                return phrase
        if self.chance(adjective):
            phrase.adjective = self.pick(lex.ADJECTIVES[noun.kind])
        return phrase

    def owner(self, kind: str) -> NounPhrase:
        """A genitive noun phrase."""
        noun = self.noun((kind,))
        determiner = self.weighted(((lex.THE, 0.6), (lex.THIS, 0.1), (self.possessive(noun), 0.3)))
        return NounPhrase(determiner, noun, self.number(noun, 0.2))

    def definite(self, kinds: Sequence[str]) -> NounPhrase:
        """A definite noun phrase without modifiers, as recipients and companions mostly are."""
        noun = self.noun(kinds)
        possessive = 0.7 if noun.kind == "relative" else 0.25
        determiner = self.possessive(noun) if self.chance(possessive) else lex.THE
        return NounPhrase(determiner, noun, self.number(noun, 0.2))

    def pronoun(self, second: bool = True) -> Pronoun:
        """A personal pronoun."""
        while True:
            entry = self.pick(lex.PRONOUNS)
            if second or entry.person != 2:
                return Pronoun(entry)

    def name(self) -> Name:
        """A person's name."""
        name = self.pick(lex.NAMES)
        return Name(name, name)

    def subject(self, kinds: Sequence[str], second: bool) -> Nominal:
        """A subject; `second` allows the second person."""
        kind = self.pick(kinds)
        if kind == "person":
            draw = self.random()
            if draw < 0.28:
                return self.pronoun(second)
            if draw < 0.42:
                return self.name()
            if draw < 0.48:
                right = self.definite(("relative",)) if self.chance(0.6) else self.name()
                return Coordination(self.definite(("person",)), lex.AND, right)
            kind = "relative" if draw < 0.62 else "person"
        phrase = self.noun_phrase((kind,), subject=True, adjective=0.2)
        plain = not phrase.adjective and not phrase.owner and phrase.determiner in RESTRICTABLE
        if plain and kind in CREATURE and self.chance(0.08):
            phrase.place = self.place()
        elif plain and kind in SMALL_THINGS and self.chance(0.15):
            phrase.place = self.thing_place()
        return phrase

    def human(self) -> Nominal:
        """A definite person: recipient, companion or beneficiary."""
        draw = self.random()
        if draw < 0.25:
            return self.pronoun()
        return self.name() if draw < 0.45 else self.definite(HUMAN)

    def object(self, kinds: Sequence[str], *, indefinite: bool = False) -> Nominal:
        """A direct object; `indefinite` is for "have", which introduces its object."""
        if indefinite:
            noun = self.noun(kinds)
            plural = self.number(noun, 0.4)
            choices = (self.pick(lex.CARDINALS), lex.MANY, lex.BARE) if plural else (lex.A, lex.A, lex.A, lex.NO)
            if not noun.en_plural:
                choices = (lex.BARE, lex.BARE, lex.NO)
            phrase = NounPhrase(self.pick(choices), noun, plural)
            if self.chance(0.3):
                phrase.adjective = self.pick(lex.ADJECTIVES[noun.kind])
            return phrase
        if kinds[0] in HUMAN and self.chance(0.4):
            return self.human()
        if self.chance(0.08):
            return self.coordinated_object(kinds)
        return self.noun_phrase(kinds)

    def coordinated_object(self, kinds: Sequence[str]) -> Nominal:
        """Two objects of one kind joined by "and" or "or"; an adjective would have unclear scope."""
        kind = (self.pick(kinds),)
        left = self.noun_phrase(kind, adjective=0)
        right = self.noun_phrase(kind, adjective=0)
        if right.noun is left.noun:
            return left
        for part in (left, right):
            part.owner = None
            if part.determiner in (lex.EVERY, lex.MANY):
                part.determiner = lex.THE
        return Coordination(left, lex.OR if self.chance(0.25) else lex.AND, right)

    def located(self, preposition: str, noun: Noun) -> Prepositional:
        """A prepositional phrase of place with a mostly definite noun."""
        draw = self.random()
        determiner = lex.THE if draw < 0.7 else lex.A if draw < 0.84 else lex.THIS
        if draw > 0.92 and noun.kind in ("room", "furniture"):
            determiner = self.pick(lex.POSSESSIVES)
        phrase = NounPhrase(determiner, noun)
        if self.chance(0.2):
            phrase.adjective = self.pick(lex.ADJECTIVES[noun.kind])
        return Prepositional(lex.PREPOSITION[preposition], phrase)

    def place(self) -> Prepositional:
        """Where something happens."""
        draw = self.random()
        if draw < 0.58:
            return self.located("in", self.noun(("room", "building", "area")))
        if draw < 0.66:
            return self.located("at", lex.NOUN["station"])
        if draw < 0.73:
            return self.located("on", lex.NOUN["street"])
        if draw < 0.79:
            return self.located("under", lex.NOUN["tree"])
        return self.located(self.pick(("behind", "in front of", "next to")), self.noun(("building",)))

    def thing_place(self) -> Prepositional:
        """Where a thing is."""
        draw = self.random()
        if draw < 0.5:
            return self.located("on", self.pick(SURFACES))
        if draw < 0.7:
            return self.located("under", self.pick(SURFACES))
        return self.located("in", self.noun(("room",)))

    def seat(self) -> Prepositional:
        """Where one sits."""
        draw = self.random()
        if draw < 0.3:
            return self.located("on", lex.NOUN["chair"])
        return self.located("under", lex.NOUN["tree"]) if draw < 0.45 else self.place()

    def city(self, preposition: lex.Preposition) -> Prepositional:
        """A city by name."""
        return Prepositional(preposition, Name(*self.pick(lex.CITIES)))

    def home(self) -> Prepositional:
        """Where one lives."""
        if self.chance(0.5):
            return self.city(lex.PREPOSITION["in"])
        return self.located("in", self.pick(tuple(lex.NOUN[word] for word in ("house", "city", "village"))))

    def goal(self) -> Prepositional:
        """Where one goes."""
        draw = self.random()
        if draw < 0.45:
            return self.located("to", self.noun(("building",)))
        if draw < 0.55:
            return self.located("to", lex.NOUN["station"])
        if draw < 0.85:
            return self.located("into", self.noun(("room", "area")))
        return self.located("through", self.noun(("area",)))

    def company(self, companion: Nominal) -> Prepositional:
        """With or without whom."""
        return Prepositional(lex.PREPOSITION["with" if self.chance(0.75) else "without"], companion)
