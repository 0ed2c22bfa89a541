"""English realisation of the abstract trees."""

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
    is_plural,
    person,
    words_of,
)
from lexicon import Adverb
from verbs import BE, HAVE, MODALS


def noun_phrase(np: NounPhrase) -> list[Token]:
    """Determiner, adjective, noun, then the modifiers that follow the noun."""
    tokens: list[Token] = []
    if np.adjective:
        tokens.append((np.adjective.en, ((np, "adjective"),)))
    tokens.append((np.noun.en_plural if np.plural else np.noun.en, ((np, "noun"),)))
    determiner = np.determiner.en_plural if np.plural else np.determiner.en
    if determiner == "a" and tokens[0][0][0] in "aeiou":
        determiner = "an"
    tokens = words_of(determiner, (np, "determiner")) + tokens
    if np.owner:
        tokens += [("of", ((np.owner, "of"),)), *noun_phrase(np.owner)]
    if np.place:
        tokens += prepositional(np.place)
    if np.relative:
        tokens += clause(np.relative)
    return tokens


def nominal(node: Nominal, subject: bool = False, governed: bool = False) -> list[Token]:
    """Any noun phrase; `governed` marks the complement of a preposition."""
    if isinstance(node, NounPhrase):
        return noun_phrase(node)
    if isinstance(node, Pronoun):
        return words_of(node.entry.en if subject else node.entry.en_object, (node, "word"))
    if isinstance(node, Name):
        return [(node.en, ((node, "word"),))]
    if isinstance(node, Coordination):
        return [*nominal(node.left), (node.conjunction.en, ((node, "and"),)), *nominal(node.right)]
    if isinstance(node, Shared):
        return []
    if isinstance(node, WhPronoun):
        word = ("who" if subject else "whom") if node.human else "what"
    elif node.noun.kind in ("person", "relative"):
        word = "who" if subject else "whom"
    else:
        word = "which" if governed else "that"
    return [(word, ((node, "word"),))]


def prepositional(phrase: Prepositional) -> list[Token]:
    """Preposition and complement."""
    return words_of(phrase.preposition.en, (phrase, "preposition")) + nominal(phrase.complement, governed=True)


def adverb(node: Clause, role: str, entry: Adverb) -> list[Token]:
    """Words of a fixed adverbial, one key for each link."""
    return [
        (word, tuple([(node, f"{role}{link}") for link in entry.links if link[0] == index]))
        for index, word in enumerate(entry.en.split())
    ]


def be(node: Clause) -> str:
    """Finite form of "be" in the present or the past."""
    plural = is_plural(node.subject) or person(node.subject) == 2
    if node.tense == "preterite":
        return "were" if plural else "was"
    if plural:
        return "are"
    return "am" if person(node.subject) == 1 else "is"


def verb_group(node: Clause) -> tuple[list[Token], list[Token]]:
    """The auxiliary that a question puts before its subject, and the rest of the verb group."""
    verb, tense = node.verb, node.tense
    third = person(node.subject) == 3 and not is_plural(node.subject)
    main: tuple[Key, ...] = ((node, "verb"),)
    aux: tuple[Key, ...] = ((node, "auxiliary"),)
    particle: list[Token] = words_of(verb.en_particle, *main)
    if tense == "perfect":
        return [(HAVE.en[1] if third else HAVE.en[0], aux)], [(verb.en[3], main), *particle]
    if tense == "future":
        return [("will", aux)], [(verb.en[0], main), *particle]
    if tense in MODALS and tense != "want":
        return [(tense, aux)], [(verb.en[0], main), *particle]
    if verb is BE:
        return [(be(node), main)], []
    forms, keys, rest = verb.en, main, particle
    if tense == "want":
        forms, keys, rest = MODALS["want"].en, aux, [("to", main), (verb.en[0], main), *particle]
    if node.negated or (node.interrogative and node.front != "subject"):
        support = "did" if tense == "preterite" else "does" if third else "do"
        return [(support, aux)], [(forms[0], keys), *rest]
    form = forms[2] if tense == "preterite" else forms[1] if third else forms[0]
    return [], [(form, keys), *rest]


def fronted(node: Clause) -> list[Token]:
    """The constituent named by `front`."""
    if node.front == "subject":
        return nominal(node.subject, subject=True)
    if node.front == "object" and node.object:
        return nominal(node.object)
    if node.front == "recipient" and node.recipient:
        words = nominal(node.recipient, governed=True)
        return [("to", words[0][1]), *words]
    if node.front == "place" and node.place:
        return prepositional(node.place)
    if node.front == "time" and node.time:
        return adverb(node, "time", node.time)
    if node.question:
        return adverb(node, "question", node.question)
    return []


def adjuncts(node: Clause) -> list[Token]:
    """What follows the objects: predicate, manner, company and place, time."""
    tokens: list[Token] = []
    if node.predicate:
        tokens.append((node.predicate.en, ((node, "predicate"),)))
    if node.manner:
        tokens += adverb(node, "manner", node.manner)
    phrases = [node.company, node.place if node.front != "place" else None]
    if "company" in node.verb.adjuncts and "place" not in node.verb.adjuncts:
        phrases.reverse()  # the goal of a motion stands next to the verb
    for phrase in phrases:
        if phrase:
            tokens += prepositional(phrase)
    if node.time and node.front != "time":
        tokens += adverb(node, "time", node.time)
    return tokens


def subordinate(node: Subordinate) -> list[Token]:
    """Conjunction and clause."""
    return [(node.conjunction.en, ((node, "conjunction"),)), *clause(node.clause)]


def clause(node: Clause) -> list[Token]:
    """A clause: subject before the verb, or subject-auxiliary inversion in a question."""
    tokens: list[Token] = []
    if node.adverbial and node.adverbial_first:
        tokens += [*subordinate(node.adverbial), COMMA]
    tokens += fronted(node)
    first, rest = verb_group(node)
    subject = [] if node.front == "subject" else nominal(node.subject, subject=True)
    inverted = node.interrogative and node.front != "subject"
    negation: list[Token] = [("not", ((node, "negation"),))] if node.negated else []
    if negation and first[0][0] == "can" and not inverted:
        first, negation = [("cannot", (*first[0][1], *negation[0][1]))], []
    tokens += first + subject if inverted else subject + first
    tokens += negation
    if node.frequency:
        tokens += adverb(node, "frequency", node.frequency)
    tokens += rest
    if node.recipient and node.front != "recipient":
        tokens += nominal(node.recipient)
    if node.object and node.front != "object":
        tokens += nominal(node.object)
    tokens += adjuncts(node)
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
        tokens += [(conjunction.en, ((part, "joined"),)), *clause(part)]
    return tokens
