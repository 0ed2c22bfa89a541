"""Random sampling of clauses and sentences."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import lexicon as lex
from constraints import STATIVE_TENSES, clashes, denies_subject, open_to_relative, tenses_of
from grammar import (
    Clause,
    Coordination,
    Nominal,
    NounPhrase,
    Prepositional,
    Pronoun,
    RelativePronoun,
    Sentence,
    Shared,
    Subordinate,
    WhPronoun,
    is_definite,
)
from lexicon import Noun, Verb
from phrases import SMALL_THINGS, PhraseSampler
from verbs import (
    ANIMATE,
    BE,
    CLAUSAL,
    CONCRETE,
    DITRANSITIVE,
    HAVE,
    HUMAN,
    INTRANSITIVE,
    MODALS,
    TRANSITIVE,
    VERB,
    WEATHER,
)

ALL_TENSES = ("present", "preterite", "perfect", "future", "modal")
SIMPLE_TENSES = ("present", "preterite")
REPORTING_TENSES = ("present", "preterite", "perfect")
TENSE_WEIGHTS = {"present": 0.4, "preterite": 0.18, "perfect": 0.18, "future": 0.1, "modal": 0.14}
MODAL_NAMES = tuple(MODALS)
# Indefinite determiners that fuse with the negation to "kein".
FUSING = (lex.A, lex.BARE)
# Verbs by the kind of noun that a relative clause on their object can modify.
OBJECT_VERBS: dict[str, tuple[Verb, ...]] = {
    kind: tuple(verb for verb in TRANSITIVE if kind in verb.objects)
    for kind in (*HUMAN, "animal", "food", *CONCRETE, "building")
}
PREDICATE_KINDS = ("person", "person", "person", "animal", *CONCRETE, "building", "room", "food")
PAST, NONPAST = ("preterite", "perfect"), ("present", "future", "modal")
ENCLOSING = ("building", "room", "area")
QUANTIFIED = (lex.NO, lex.EVERY, lex.MANY)


class Sampler(PhraseSampler):
    """Draws sentences; `long` joins and embeds more clauses, by the same constructions."""

    def __init__(self, rng: random.Random, long: bool = False) -> None:
        super().__init__(rng)
        self.long = long
        self.embedding = 0.35 if long else 0.2

    def tense(self, verb: Verb, allowed: Sequence[str] = ALL_TENSES) -> str:
        """A tense that the verb allows; modal verbs count as tenses."""
        options = tenses_of(verb, allowed)
        total = sum([TENSE_WEIGHTS[tense] for tense in options])
        tense = self.weighted([(tense, TENSE_WEIGHTS[tense] / total) for tense in options])
        return self.pick(MODAL_NAMES) if tense == "modal" else tense

    def negate(self, clause: Clause, probability: float = 0.16) -> None:
        """Negate the clause where both languages put the negation in the same scope."""
        if clause.frequency or clause.tense == "must" or not self.chance(probability):
            return
        subject, target = clause.subject, clause.object
        if isinstance(subject, NounPhrase) and subject.determiner in QUANTIFIED:
            return
        if isinstance(target, Coordination) and (not is_definite(target) or target.conjunction is lex.OR):
            return
        indefinite = isinstance(target, NounPhrase) and not is_definite(target)
        if isinstance(target, NounPhrase) and indefinite and target.determiner not in FUSING:
            return
        clause.negated = True

    def add_frequency(self, clause: Clause) -> None:
        """Add an adverb of frequency where no time adverbial or quantifier competes with it."""
        for phrase in (clause.subject, clause.object):
            if isinstance(phrase, NounPhrase) and phrase.determiner in (lex.NO, lex.EVERY):
                return
        if clause.tense in SIMPLE_TENSES:
            clause.frequency = self.pick(lex.FREQUENCIES)
        elif clause.tense == "perfect":
            clause.frequency = self.pick(lex.FREQUENCIES[:3])

    def add_time(self, clause: Clause) -> None:
        """Add a time adverbial that fits the tense."""
        clause.time = self.pick(lex.TIMES["modal" if clause.tense in MODALS else clause.tense])

    def locate(self, clause: Clause, probability: float) -> None:
        """Add the place that the verb takes; verbs of sitting and living require one."""
        for kind in clause.verb.adjuncts:
            if kind in ("seat", "home"):
                clause.place = self.seat() if kind == "seat" else self.home()
            elif kind == "city":
                clause.place = self.city(lex.TO_CITY)
            elif kind == "goal" and self.chance(0.9):
                clause.place = self.goal()
            elif kind == "place" and self.chance(probability):
                clause.place = self.place()

    def add_adjuncts(self, clause: Clause, times: float) -> None:
        """Add adjuncts of manner, company, place and time."""
        verb = clause.verb
        bare = clause.object is None
        for kind in verb.adjuncts:
            if kind in lex.MANNERS and self.chance(0.4):
                clause.manner = self.pick(lex.MANNERS[kind])
        if "company" in verb.adjuncts and not clause.manner and self.chance(0.25):
            clause.company = self.company(self.other_than(clause.subject))
        elif "benefit" in verb.adjuncts and self.chance(0.3):
            clause.company = Prepositional(lex.PREPOSITION["for"], self.other_than(clause.subject))
        self.locate(clause, 0.65 if bare else 0.3)
        draw = self.random()
        if verb.stative or clause.manner:
            return
        if draw < times:
            self.add_time(clause)
        elif draw > 0.88:
            self.add_frequency(clause)

    def simple_verb(self) -> Verb:
        """A verb without a clause complement."""
        draw = self.random()
        if draw < 0.40:
            return self.pick(INTRANSITIVE)
        return self.pick(TRANSITIVE) if draw < 0.87 else self.pick(DITRANSITIVE)

    def clause(
        self,
        tenses: Sequence[str] = ALL_TENSES,
        *,
        times: float = 0.36,
        relative: bool = True,
        subject: Nominal | None = None,
        verb: Verb | None = None,
    ) -> Clause:
        """A clause with a full verb and all its arguments; a relative clause may end it."""
        while verb is None or not tenses_of(verb, tenses):
            verb = self.simple_verb()
        tense = self.tense(verb, tenses)
        subject = subject or self.subject(verb.subjects, second=tense != "preterite")
        clause = Clause(subject, verb, tense)
        if verb.recipient:
            clause.recipient = self.other_than(subject)
            clause.object = self.countable_object(verb.objects)
        elif verb.objects:
            clause.object = self.object(verb.objects, indefinite=verb is HAVE)
            while clashes(subject, clause.object):
                clause.object = self.object(verb.objects)
        self.add_adjuncts(clause, times)
        if clause.place and isinstance(subject, NounPhrase):
            subject.place = None
        if relative:
            self.add_relative(clause)
        self.negate(clause)
        return clause

    def countable_object(self, kinds: Sequence[str]) -> NounPhrase:
        """An object with a determiner, since "her" before a bare noun would read as a possessive."""
        while True:
            phrase = self.noun_phrase(kinds)
            if phrase.determiner is not lex.BARE:
                return phrase

    def other_than(self, subject: Nominal) -> Nominal:
        """A person other than the subject."""
        while True:
            nominal = self.human()
            if not clashes(subject, nominal):
                return nominal

    def add_relative(self, clause: Clause) -> None:
        """Add a relative clause to the subject, or to an object or a place that ends the clause."""
        subject, target = clause.subject, clause.object
        if isinstance(subject, NounPhrase) and open_to_relative(subject) and self.chance(self.embedding * 0.7):
            subject.relative = self.relative(subject.noun, subject.plural)
            return
        if isinstance(target, NounPhrase) and open_to_relative(target) and self.chance(self.embedding * 1.7):
            clause.time = clause.company = clause.place = clause.manner = None
            target.relative = self.relative(target.noun, target.plural)
        elif clause.place and not (clause.time or clause.company) and self.chance(self.embedding):
            site = clause.place.complement
            if isinstance(site, NounPhrase) and site.noun.kind in ENCLOSING and open_to_relative(site):
                site.relative = self.relative(site.noun, site.plural)

    def relative(self, noun: Noun, plural: bool) -> Clause | None:
        """A relative clause on the noun, whose subject, object or place is relativised."""
        pronoun = RelativePronoun(noun, plural)
        animate = noun.kind in (*HUMAN, "animal")
        if animate and self.chance(0.6):
            kind = "person" if noun.kind in HUMAN else noun.kind
            verb = self.simple_verb()
            while kind not in verb.subjects:
                verb = self.simple_verb()
            clause = self.clause(times=0, relative=False, subject=pronoun, verb=verb)
            clause.front = "subject"
        elif noun.kind in ENCLOSING and self.chance(0.5):
            verb = self.pick([verb for verb in INTRANSITIVE if set(verb.adjuncts) & {"place", "home"}])
            clause = self.clause(times=0, relative=False, verb=verb)
            clause.place = Prepositional(lex.PREPOSITION["in"], pronoun)
            clause.front = "place"
        else:
            verbs = OBJECT_VERBS.get(noun.kind)
            if not verbs:
                return None
            verb = self.pick(verbs)
            clause = self.clause(times=0, relative=False, verb=verb)
            while clashes(clause.subject, NounPhrase(lex.THE, noun)):
                clause = self.clause(times=0, relative=False, verb=verb)
            clause.object, clause.front = pronoun, "object"
        if isinstance(clause.subject, NounPhrase):
            clause.subject.place = None
        if clause.place:
            clause.company = None
        return clause

    def copula(self, tenses: Sequence[str] = STATIVE_TENSES, kinds: Sequence[str] = PREDICATE_KINDS) -> Clause:
        """A clause with "be" and a predicative adjective or a place."""
        tense = self.tense(BE, tenses)
        kind = self.pick(kinds)
        subject = self.subject((kind,), second=tense != "preterite")
        clause = Clause(subject, BE, tense)
        if self.chance(0.25) and kind in (*ANIMATE, *SMALL_THINGS):
            clause.place = self.place() if kind in ANIMATE else self.thing_place()
        else:
            clause.predicate = self.pick(lex.ADJECTIVES[kind])
            if isinstance(subject, NounPhrase):
                subject.adjective = None
        if isinstance(subject, NounPhrase) and clause.place:
            subject.place = None
        if isinstance(subject, NounPhrase) and open_to_relative(subject) and self.chance(self.embedding):
            subject.relative = self.relative(subject.noun, subject.plural)
        self.negate(clause)
        return clause

    def weather(self, tenses: Sequence[str] = STATIVE_TENSES) -> Clause:
        """Rain or snow."""
        verb = self.pick(WEATHER)
        clause = Clause(Pronoun(lex.PRONOUN["it"]), verb, self.tense(verb, [t for t in tenses if t in STATIVE_TENSES]))
        if self.chance(0.5):
            clause.place = self.city(lex.PREPOSITION["in"])
        elif self.chance(0.4):
            self.add_time(clause)
        self.negate(clause)
        return clause

    def embedded(self, tenses: Sequence[str], times: float = 0.12) -> Clause:
        """The clause inside a subordinate clause."""
        draw = self.random()
        if draw < 0.30:
            return self.copula(tenses, PREDICATE_KINDS if times else ANIMATE)
        if draw < 0.38:
            return self.weather(tenses)
        return self.clause(tenses, times=times, relative=self.chance(0.6))

    def complement(self, tenses: Sequence[str]) -> Clause:
        """A clause with a verb of saying or thinking and its complement clause."""
        verb = self.pick(CLAUSAL)
        tense = self.tense(verb, [tense for tense in tenses if tense in REPORTING_TENSES])
        if tense != "present" and verb.en[0] == "hope":
            verb = VERB["say that"]
        clause = Clause(self.subject(("person",), second=tense != "preterite"), verb, tense)
        conjunction = lex.WHETHER if verb.clause == "whether" else lex.THAT
        if verb.en[0] in ("know", "believe", "say"):
            self.negate(clause, 0.2)
        if verb.en[0] == "know" and clause.negated and self.chance(0.5):
            conjunction = lex.WHETHER
        inner: Sequence[str] = NONPAST if verb.en[0] == "hope" else ALL_TENSES
        if tense != "present":
            inner = ("preterite",)
        clause.complement = Subordinate(conjunction, self.embedded(inner))
        return clause

    def add_adverbial(self, clause: Clause, nested: bool = False) -> None:
        """Add a subordinate clause of reason, concession, condition or time."""
        tenses: Sequence[str] = ALL_TENSES
        conjunction = lex.BECAUSE if nested or self.chance(0.5) else lex.ALTHOUGH
        if not nested and not clause.verb.stative and self.chance(0.6):
            if clause.tense == "preterite" and not clause.frequency:
                conjunction, tenses = lex.WHEN_PAST, ("preterite",)
            elif clause.tense not in PAST:
                conjunction, tenses = (lex.IF if self.chance(0.5) else lex.WHEN_NOW), ("present",)
        if tenses is ALL_TENSES:
            inner = self.embedded(tenses)
        else:
            inner = self.embedded(tenses, times=0)
            inner.frequency = None
        clause.adverbial = Subordinate(conjunction, inner)
        clause.adverbial_first = not nested and not clause.front and self.chance(0.35)
        stackable = not clause.adverbial_first and conjunction is not lex.BECAUSE
        if stackable and self.chance(self.embedding * 0.6):
            self.add_adverbial(inner, nested=True)

    def statement(self, rich: bool = True, tenses: Sequence[str] = ALL_TENSES) -> Clause:
        """A main clause, perhaps with something before its subject and a subordinate clause."""
        draw = self.random()
        if draw < 0.13:
            clause = self.copula(tenses)
        elif draw < 0.15:
            clause = self.weather(tenses)
        elif draw < 0.25 and rich:
            clause = self.complement(tenses)
        else:
            clause = self.clause(tenses, relative=rich)
        if clause.time and self.chance(0.4):
            clause.front = "time"
        elif clause.place and "place" in clause.verb.adjuncts and not clause.negated and self.chance(0.2):
            site = clause.place.complement
            if not (isinstance(site, NounPhrase) and site.relative):
                clause.front = "place"
        if rich and self.chance(self.embedding * (0.4 if clause.complement else 1.2)):
            self.add_adverbial(clause)
        return clause

    def verb_phrase(self, first: Clause) -> Clause | None:
        """A second predicate for the first clause's subject, in the same simple tense."""
        verb = self.simple_verb()
        animal = isinstance(first.subject, NounPhrase) and first.subject.noun.kind == "animal"
        if not tenses_of(verb, (first.tense,)) or ("animal" if animal else "person") not in verb.subjects:
            return None
        second = self.clause((first.tense,), times=0, subject=Shared(first.subject), verb=verb)
        if second.tense != first.tense or second.negated:
            return None
        return second

    def shared_subject(self) -> Sentence:
        """Two predicates with one subject."""
        while True:
            verb = self.simple_verb()
            first = self.clause(SIMPLE_TENSES, verb=verb, relative=False)
            second = self.verb_phrase(first)
            if not second or second.verb is verb or first.negated or denies_subject(first):
                continue
            if "person" in verb.subjects:
                return Sentence([first, second], [lex.AND])

    def yes_no_question(self) -> Clause:
        """A question with the finite verb first."""
        while True:
            clause = self.copula() if self.chance(0.25) else self.clause(relative=False)
            if not denies_subject(clause):
                clause.interrogative = True
                return clause

    def object_question(self, clause: Clause) -> bool:
        """Question the object or the recipient; false where the object is no plain noun phrase."""
        target, draw = clause.object, self.random()
        if not isinstance(target, NounPhrase):
            return False
        clause.front = "object"
        if clause.recipient and draw < 0.6:
            clause.front, clause.recipient = "recipient", WhPronoun(True)
        elif draw < 0.4:
            clause.object = WhPronoun(target.noun.kind in HUMAN)
        elif not clause.negated and (target.plural or self.number(target.noun, 0.5)):
            clause.object = replace(target, determiner=lex.HOW_MANY, plural=True, owner=None)
        else:
            clause.object = replace(target, determiner=lex.WHICH, owner=None)
        return True

    def adverb_question(self, clause: Clause) -> None:
        """Question the place, the time or the reason."""
        draw = self.random()
        temporal = clause.tense != "perfect" and not clause.verb.stative
        clause.front = "question"
        if clause.place and draw < 0.5:
            clause.place = None
            clause.question = lex.WHERE_TO if set(clause.verb.adjuncts) & {"goal", "city"} else lex.WHERE
        elif draw < 0.7 and temporal and not clause.frequency and not clause.negated:
            clause.time, clause.question = None, lex.WHEN
        else:
            clause.question = lex.WHY

    def wh_question(self) -> Clause:
        """A question with an interrogative word."""
        while True:
            draw = self.random()
            clause = self.clause(relative=False)
            if denies_subject(clause):
                continue
            clause.interrogative = True
            if draw < 0.2 and "person" in clause.verb.subjects:
                clause.subject, clause.front = WhPronoun(True), "subject"
                return clause
            if 0.2 <= draw < 0.6 and self.object_question(clause):
                return clause
            if draw >= 0.6:
                self.adverb_question(clause)
                return clause

    def sentence(self) -> tuple[Sentence, str]:
        """A sentence with its closing mark."""
        draw = self.random()
        if self.long:
            count = 2 + (draw > 0.3) + (draw > 0.75)
        elif draw < 0.08:
            return Sentence([self.yes_no_question()], []), "?"
        elif draw < 0.19:
            return Sentence([self.wh_question()], []), "?"
        elif draw < 0.27:
            return self.shared_subject(), "."
        else:
            count = 1 + (draw > 0.6) + (draw > 0.92)
        tenses = ALL_TENSES if count == 1 else PAST if self.chance(0.4) else NONPAST
        clauses = [self.statement(self.long or count == 1 or self.chance(0.3), tenses) for _ in range(count)]
        conjunctions = [self.weighted(((lex.AND, 0.55), (lex.BUT, 0.35), (lex.OR, 0.1))) for _ in range(count - 1)]
        return Sentence(clauses, conjunctions), "."
