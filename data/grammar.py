"""Abstract sentence trees: what is said, before either language fixes words and order.

Nodes compare by identity, so that a node with a role is a key: words of the two languages are
translations of each other exactly when they share a key.
"""

from __future__ import annotations

from dataclasses import dataclass

from lexicon import Adjective, Adverb, Conjunction, Determiner, Noun, Preposition, PronounEntry, Verb

Key = tuple[object, str]
Token = tuple[str, tuple[Key, ...]]
COMMA: Token = (",", ())


@dataclass(eq=False, slots=True)
class Pronoun:
    """A personal pronoun."""

    entry: PronounEntry


@dataclass(eq=False, slots=True)
class Name:
    """A proper name of a person or a city, which takes no article."""

    en: str
    de: str


@dataclass(eq=False, slots=True)
class NounPhrase:
    """A determiner with a common noun and its modifiers."""

    determiner: Determiner
    noun: Noun
    plural: bool = False
    adjective: Adjective | None = None
    owner: NounPhrase | None = None
    place: Prepositional | None = None
    relative: Clause | None = None


@dataclass(eq=False, slots=True)
class Coordination:
    """Two noun phrases joined by a conjunction."""

    left: NounPhrase | Name
    conjunction: Conjunction
    right: NounPhrase | Name


@dataclass(eq=False, slots=True)
class Shared:
    """The subject of a coordinated verb phrase: unspoken, but the verb agrees with it."""

    antecedent: Nominal


@dataclass(eq=False, slots=True)
class RelativePronoun:
    """The relativised argument of a relative clause, agreeing with the head noun."""

    noun: Noun
    plural: bool


@dataclass(eq=False, slots=True)
class WhPronoun:
    """An interrogative pronoun: who or what."""

    human: bool


Nominal = Pronoun | Name | NounPhrase | Coordination | Shared | RelativePronoun | WhPronoun


@dataclass(eq=False, slots=True)
class Prepositional:
    """A prepositional phrase."""

    preposition: Preposition
    complement: Nominal


@dataclass(eq=False, slots=True)
class Subordinate:
    """A subordinate clause with its conjunction."""

    conjunction: Conjunction
    clause: Clause


@dataclass(eq=False, slots=True)
class Clause:
    """A finite clause.

    `tense` is present, preterite, perfect, future or the name of a modal verb. `front` names the
    field moved to the front of the clause: an adverbial in a statement, the questioned constituent
    in a question, the relativised one in a relative clause.
    """

    subject: Nominal
    verb: Verb
    tense: str = "present"
    negated: bool = False
    object: Nominal | None = None
    recipient: Nominal | None = None
    predicate: Adjective | None = None
    time: Adverb | None = None
    frequency: Adverb | None = None
    manner: Adverb | None = None
    company: Prepositional | None = None
    place: Prepositional | None = None
    question: Adverb | None = None
    front: str = ""
    interrogative: bool = False
    complement: Subordinate | None = None
    adverbial: Subordinate | None = None
    adverbial_first: bool = False


@dataclass(eq=False, slots=True)
class Sentence:
    """Main clauses in a row; each conjunction joins its clause to the one before."""

    clauses: list[Clause]
    conjunctions: list[Conjunction]


def is_plural(nominal: Nominal) -> bool:
    """Grammatical number for agreement with the verb."""
    if isinstance(nominal, NounPhrase | RelativePronoun):
        return nominal.plural
    if isinstance(nominal, Pronoun):
        return nominal.entry.plural
    if isinstance(nominal, Shared):
        return is_plural(nominal.antecedent)
    return isinstance(nominal, Coordination)


def person(nominal: Nominal) -> int:
    """Grammatical person for agreement with the verb."""
    if isinstance(nominal, Pronoun):
        return nominal.entry.person
    if isinstance(nominal, Shared):
        return person(nominal.antecedent)
    return 3


def is_definite(nominal: Nominal) -> bool:
    """Whether the phrase is definite: German objects precede or follow "nicht" accordingly."""
    if isinstance(nominal, NounPhrase):
        return nominal.determiner.definite
    if isinstance(nominal, Coordination):
        return is_definite(nominal.left) and is_definite(nominal.right)
    return True


def negates_object(clause: Clause) -> bool:
    """Whether the negation fuses with an indefinite object to German "kein"."""
    return clause.negated and clause.front != "object" and clause.object is not None and not is_definite(clause.object)


def words_of(text: str, *keys: Key) -> list[Token]:
    """Tokens of a fixed phrase all of whose words share the same keys."""
    return [(word, keys) for word in text.split()]


def surface(tokens: list[Token], mark: str) -> tuple[str, list[tuple[Key, ...]]]:
    """Written sentence and the keys of each of its words; commas attach to the word before them."""
    words: list[str] = []
    keys: list[tuple[Key, ...]] = []
    for index, token in enumerate(tokens):
        if token is COMMA:
            if index + 1 < len(tokens) and words[-1][-1] != ",":
                words[-1] += ","
        else:
            words.append(token[0])
            keys.append(token[1])
    words[-1] = words[-1].rstrip(",") + mark
    words[0] = words[0][0].upper() + words[0][1:]
    return " ".join(words), keys


def alignment(source: list[tuple[Key, ...]], target: list[tuple[Key, ...]]) -> list[tuple[int, int]]:
    """Links between the words that share a key, in source order."""
    positions: dict[Key, list[int]] = {}
    for index, keys in enumerate(target):
        for key in keys:
            positions.setdefault(key, []).append(index)
    links: list[tuple[int, int]] = []
    for index, keys in enumerate(source):
        found: set[int] = set()
        for key in keys:
            found.update(positions.get(key, ()))
        links += [(index, position) for position in sorted(found)]
    return links
