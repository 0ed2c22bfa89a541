"""German realisation of the abstract trees."""

from __future__ import annotations

from grammar import (
    COMMA,
    Clause,
    Coordination,
    Key,
    Name,
    Nominal,
    NounPhrase,
    Prepositional,
    Pronoun,
    Sentence,
    Shared,
    Subordinate,
    Token,
    WhPronoun,
    is_definite,
    is_plural,
    negates_object,
    person,
    words_of,
)
from lexicon import NO, Adverb, Determiner, Noun, Verb
from verbs import BE, HAVE, MODALS, WILL

# Each row lists masculine, feminine, neuter, plural.
GENDERS = {"m": 0, "f": 1, "n": 2, "pl": 3}
DEFINITE = {
    "nom": ("der", "die", "das", "die"),
    "acc": ("den", "die", "das", "die"),
    "dat": ("dem", "der", "dem", "den"),
    "gen": ("des", "der", "des", "der"),
}
STRONG = {
    "nom": ("er", "e", "es", "e"),
    "acc": ("en", "e", "es", "e"),
    "dat": ("em", "er", "em", "en"),
    "gen": ("es", "er", "es", "er"),
}
WEAK = {
    "nom": ("e", "e", "e", "en"),
    "acc": ("en", "e", "e", "en"),
    "dat": ("en", "en", "en", "en"),
    "gen": ("en", "en", "en", "en"),
}
# Where "ein" has no ending, the adjective after it takes the strong one (mixed declension).
ENDINGLESS = {("nom", 0), ("nom", 2), ("acc", 2)}
CONTRACTIONS = {
    ("in", "dem"): "im",
    ("in", "das"): "ins",
    ("an", "dem"): "am",
    ("zu", "dem"): "zum",
    ("zu", "der"): "zur",
}
WH_PRONOUNS = {"nom": "wer", "acc": "wen", "dat": "wem"}


def determiner_form(determiner: Determiner, case: str, column: int) -> str:
    """Inflected determiner, or an empty string."""
    pattern = determiner.pattern
    if pattern == "definite":
        return DEFINITE[case][column]
    if pattern == "none" or (pattern == "ein" and (case, column) in ENDINGLESS):
        return determiner.de
    return determiner.de + STRONG[case][column]


def adjective_ending(determiner: Determiner, case: str, column: int) -> str:
    """Strong, weak or mixed ending, as the determiner requires."""
    pattern = determiner.pattern
    if pattern in ("none", "many") or (pattern == "ein" and (case, column) in ENDINGLESS):
        return STRONG[case][column]
    return WEAK[case][column]


def noun_form(noun: Noun, case: str, plural: bool) -> str:
    """Inflected noun."""
    if plural:
        return noun.de_plural + "n" if case == "dat" and noun.de_plural[-1] not in "ns" else noun.de_plural
    weak = noun.gender == "m" and noun.de_genitive[-1] == "n"
    return noun.de_genitive if case == "gen" or (weak and case != "nom") else noun.de


def noun_phrase(np: NounPhrase, case: str, negation: Key | None = None) -> list[Token]:
    """A noun phrase without its relative clause; a negation turns its determiner into "kein"."""
    determiner = NO if negation else np.determiner
    keys: tuple[Key, ...] = ((np, "determiner"),)
    if negation:
        keys += (negation,)
    if case == "gen":
        keys += ((np, "of"),)
    column = 3 if np.plural else GENDERS[np.noun.gender]
    tokens = words_of(determiner_form(determiner, case, column), *keys)
    if np.adjective:
        form = np.adjective.stem + adjective_ending(determiner, case, column)
        tokens.append((form, ((np, "adjective"),)))
    tokens.append((noun_form(np.noun, case, np.plural), ((np, "noun"),)))
    if np.owner:
        tokens += noun_phrase(np.owner, "gen")
    if np.place:
        tokens += prepositional(np.place)
    return tokens


def nominal(node: Nominal, case: str, negation: Key | None = None) -> list[Token]:
    """Any noun phrase in the given case, without its relative clause."""
    if isinstance(node, NounPhrase):
        return noun_phrase(node, case, negation)
    if isinstance(node, Pronoun):
        entry = node.entry
        return [({"nom": entry.nom, "acc": entry.acc, "dat": entry.dat}[case], ((node, "word"),))]
    if isinstance(node, Name):
        return [(node.de, ((node, "word"),))]
    if isinstance(node, Coordination):
        conjunction: Token = (node.conjunction.de, ((node, "and"),))
        return [*nominal(node.left, case), conjunction, *nominal(node.right, case)]
    if isinstance(node, Shared):
        return []
    if isinstance(node, WhPronoun):
        return [(WH_PRONOUNS[case] if node.human else "was", ((node, "word"),))]
    if node.plural:
        form = "denen" if case == "dat" else DEFINITE[case][3]
    else:
        form = DEFINITE[case][GENDERS[node.noun.gender]]
    return [(form, ((node, "word"),))]


def prepositional(phrase: Prepositional) -> list[Token]:
    """Preposition and complement, contracted where the definite article follows."""
    preposition, complement = phrase.preposition, phrase.complement
    keys: tuple[Key, ...] = ((phrase, "preposition"),)
    tokens = nominal(complement, preposition.case)
    if isinstance(complement, NounPhrase) and complement.determiner.pattern == "definite":
        contraction = CONTRACTIONS.get((preposition.de, tokens[0][0]))
        if contraction:
            return [(contraction, keys + tokens[0][1]), *tokens[1:]]
    return [(preposition.de, keys), *tokens]


def adverb(node: Clause, role: str, entry: Adverb) -> list[Token]:
    """Words of a fixed adverbial, one key for each link."""
    return [
        (word, tuple([(node, f"{role}{link}") for link in entry.links if link[1] == index]))
        for index, word in enumerate(entry.de.split())
    ]


def conjugate(verb: Verb, subject: Nominal, preterite: bool = False) -> str:
    """Finite form without a separable prefix."""
    if preterite:
        form = verb.de[4]
        return form + ("n" if form[-1] == "e" else "en") if is_plural(subject) else form
    return (verb.de_plural or verb.de[0]) if is_plural(subject) else verb.de[person(subject)]


def verb_group(node: Clause, last: bool) -> tuple[Token, list[Token]]:
    """Finite verb and what stands before it at the end of the clause; `last` joins the prefix."""
    verb, tense = node.verb, node.tense
    main: tuple[Key, ...] = ((node, "verb"),)
    aux: tuple[Key, ...] = ((node, "auxiliary"),)
    if tense == "perfect":
        auxiliary = HAVE if verb.auxiliary == "haben" else BE
        return (conjugate(auxiliary, node.subject), aux), [(verb.de_prefix + verb.de[5], main)]
    if tense == "future" or tense in MODALS:
        auxiliary = MODALS.get(tense, WILL)
        return (conjugate(auxiliary, node.subject), aux), [(verb.de_prefix + verb.de[0], main)]
    finite = conjugate(verb, node.subject, tense == "preterite")
    if last:
        return (verb.de_prefix + finite, main + aux), []
    return (finite, main + aux), words_of(verb.de_prefix, *main)


def fronted(node: Clause) -> list[Token]:
    """The constituent named by `front`, with any relative clause."""
    if node.front == "subject":
        return nominal(node.subject, "nom")
    if node.front == "object" and node.object:
        return nominal(node.object, node.verb.case)
    if node.front == "recipient" and node.recipient:
        return nominal(node.recipient, "dat")
    if node.front == "place" and node.place:
        return prepositional(node.place)
    if node.front == "time" and node.time:
        return adverb(node, "time", node.time)
    if node.question:
        return adverb(node, "question", node.question)
    return []


def objects(node: Clause) -> tuple[list[Token], list[Token], list[Token]]:
    """Object pronouns, definite and indefinite objects: each has its own place in the middle field."""
    pronouns: list[Token] = []
    definite: list[Token] = []
    indefinite: list[Token] = []
    if node.recipient and node.front != "recipient":
        target = pronouns if isinstance(node.recipient, Pronoun) else definite
        target += nominal(node.recipient, "dat")
    if node.object and node.front != "object":
        negation = (node, "negation") if negates_object(node) else None
        words = nominal(node.object, node.verb.case, negation)
        if isinstance(node.object, Pronoun):
            pronouns += words
        elif is_definite(node.object):
            definite += words
        else:
            indefinite += words
    return pronouns, definite, indefinite


def middle_field(node: Clause) -> list[Token]:
    """What stands between the finite verb (or conjunction) and the end of the clause, subject aside."""
    pronouns, definite, indefinite = objects(node)
    tokens = pronouns
    if node.time and node.front != "time":
        tokens += adverb(node, "time", node.time)
    tokens += definite
    if node.negated and not negates_object(node):
        tokens.append(("nicht", ((node, "negation"),)))
    if node.frequency:
        tokens += adverb(node, "frequency", node.frequency)
    tokens += indefinite
    if node.company:
        tokens += prepositional(node.company)
    if node.manner:
        tokens += adverb(node, "manner", node.manner)
    if node.place and node.front != "place":
        tokens += prepositional(node.place)
    if node.predicate:
        tokens.append((node.predicate.de, ((node, "predicate"),)))
    return tokens


def relative_clause(node: Nominal | None) -> list[Token]:
    """The relative clause of a noun phrase between commas, or nothing."""
    if isinstance(node, NounPhrase) and node.relative:
        return [COMMA, *clause(node.relative, last=True), COMMA]
    return []


def subordinate(node: Subordinate) -> list[Token]:
    """A subordinate clause between commas."""
    conjunction: Token = (node.conjunction.de, ((node, "conjunction"),))
    return [COMMA, conjunction, *clause(node.clause, last=True), COMMA]


def clause(node: Clause, last: bool = False) -> list[Token]:
    """A clause with its verb second (first in a yes/no question) or last."""
    tokens: list[Token] = []
    front = fronted(node)
    subject = [] if node.front == "subject" else nominal(node.subject, "nom") + relative_clause(node.subject)
    finite, closing = verb_group(node, last)
    if node.adverbial and node.adverbial_first:
        tokens += subordinate(node.adverbial)[1:]
        tokens += [finite, *subject]
    elif last:
        tokens += front + subject
    elif front or node.interrogative:
        tokens += [*front, finite, *subject]
    else:
        tokens += [*subject, finite]
    tokens += middle_field(node) + closing
    if last:
        tokens.append(finite)
    # Behind the verb at the end, so that the clause bracket stays short.
    if node.front != "object":
        tokens += relative_clause(node.object)
    if node.place and node.front != "place":
        tokens += relative_clause(node.place.complement)
    if node.complement:
        tokens += subordinate(node.complement)
    if node.adverbial and not node.adverbial_first:
        tokens += subordinate(node.adverbial)
    return tokens


def sentence(node: Sentence) -> list[Token]:
    """Main clauses; a comma separates clauses with a subject of their own."""
    tokens = clause(node.clauses[0])
    for conjunction, part in zip(node.conjunctions, node.clauses[1:], strict=True):
        if not isinstance(part.subject, Shared):
            tokens.append(COMMA)
        tokens += [(conjunction.de, ((part, "joined"),)), *clause(part)]
    return tokens
