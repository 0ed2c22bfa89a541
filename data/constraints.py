"""What the sampler must respect: tenses, reference, and what can be modified or questioned."""

from __future__ import annotations

from collections.abc import Sequence

import lexicon as lex
from grammar import Clause, Coordination, Name, Nominal, NounPhrase, Pronoun, RelativePronoun, Shared
from lexicon import Verb

STATIVE_TENSES = ("present", "preterite", "future")
RESTRICTABLE = (lex.THE, lex.A, lex.BARE, lex.MANY, *lex.CARDINALS)


def tenses_of(verb: Verb, allowed: Sequence[str]) -> list[str]:
    """The allowed tenses in which the verb is used."""
    return [
        tense
        for tense in allowed
        if (tense in STATIVE_TENSES or not verb.stative) and (verb.en[2] or tense != "preterite")
    ]


def clashes(subject: Nominal, other: Nominal | None) -> bool:
    """Whether both name the same person or noun, so that a reflexive would be due."""
    if isinstance(subject, Shared):
        return clashes(subject.antecedent, other)
    if isinstance(subject, Coordination):
        return clashes(subject.left, other) or clashes(subject.right, other)
    if isinstance(subject, Pronoun) and isinstance(other, Pronoun):
        return subject.entry.person == other.entry.person
    if isinstance(subject, Name) and isinstance(other, Name):
        return subject.en == other.en
    if isinstance(subject, NounPhrase | RelativePronoun) and isinstance(other, NounPhrase):
        return subject.noun is other.noun
    return False


def open_to_relative(phrase: NounPhrase) -> bool:
    """Whether a restrictive relative clause can modify the phrase."""
    return phrase.determiner in RESTRICTABLE and not (phrase.owner or phrase.place)


def denies_subject(clause: Clause) -> bool:
    """Whether the subject has the determiner "no", which suits neither questions nor shared subjects."""
    return isinstance(clause.subject, NounPhrase) and clause.subject.determiner is lex.NO
