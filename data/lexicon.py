"""The bilingual lexicon: one German equivalent for each English word and sense."""

from __future__ import annotations

from typing import NamedTuple


class Noun(NamedTuple):
    """A common noun; an empty plural marks a mass noun."""

    en: str
    en_plural: str
    gender: str
    de: str
    de_genitive: str
    de_plural: str
    kind: str


class Adjective(NamedTuple):
    """An adjective; `stem` takes the attributive endings, `de` is the predicative form."""

    en: str
    de: str
    stem: str


class Verb(NamedTuple):
    """A verb with its valency: what may be its subject, object and adjuncts."""

    en: tuple[str, ...]  # base, third person, past (empty: not used), participle
    de: tuple[str, ...]  # infinitive, 1st/2nd/3rd singular, preterite, participle
    en_particle: str = ""
    de_prefix: str = ""
    de_plural: str = ""  # only where it differs from the infinitive
    auxiliary: str = "haben"
    subjects: tuple[str, ...] = ("person",)
    objects: tuple[str, ...] = ()
    case: str = "acc"
    recipient: bool = False
    adjuncts: tuple[str, ...] = ()
    clause: str = ""  # the conjunction of a complement clause
    stative: bool = False


class Determiner(NamedTuple):
    """A determiner; `pattern` is its declension: definite, der, ein, many or none."""

    en: str
    en_plural: str
    de: str
    pattern: str
    definite: bool = False


class PronounEntry(NamedTuple):
    """A personal pronoun with its English and German case forms."""

    en: str
    en_object: str
    nom: str
    acc: str
    dat: str
    person: int
    plural: bool


class Preposition(NamedTuple):
    """A preposition in one sense, with the case it governs."""

    en: str
    de: str
    case: str


class Adverb(NamedTuple):
    """A fixed adverbial; `links` pairs English with German word positions."""

    en: str
    de: str
    links: tuple[tuple[int, int], ...] = ((0, 0),)


class Conjunction(NamedTuple):
    """A coordinating or subordinating conjunction."""

    en: str
    de: str


# English singular and plural, gender, German singular, genitive singular and plural.
NOUN_TABLE = {
    "person": """
        man men m Mann Mannes Männer
        woman women f Frau Frau Frauen
        child children n Kind Kindes Kinder
        boy boys m Junge Jungen Jungen
        girl girls n Mädchen Mädchens Mädchen
        teacher teachers m Lehrer Lehrers Lehrer
        doctor doctors m Arzt Arztes Ärzte
        student students m Student Studenten Studenten
        neighbor neighbors m Nachbar Nachbarn Nachbarn
        farmer farmers m Bauer Bauern Bauern
        guest guests m Gast Gastes Gäste
        artist artists m Künstler Künstlers Künstler""",
    "relative": """
        friend friends m Freund Freundes Freunde
        mother mothers f Mutter Mutter Mütter
        father fathers m Vater Vaters Väter
        brother brothers m Bruder Bruders Brüder
        sister sisters f Schwester Schwester Schwestern
        daughter daughters f Tochter Tochter Töchter
        son sons m Sohn Sohnes Söhne
        grandmother grandmothers f Großmutter Großmutter Großmütter""",
    "animal": """
        dog dogs m Hund Hundes Hunde
        cat cats f Katze Katze Katzen
        horse horses n Pferd Pferdes Pferde
        bird birds m Vogel Vogels Vögel
        cow cows f Kuh Kuh Kühe
        mouse mice f Maus Maus Mäuse""",
    "food": """
        apple apples m Apfel Apfels Äpfel
        cake cakes m Kuchen Kuchens Kuchen
        egg eggs n Ei Eies Eier
        potato potatoes f Kartoffel Kartoffel Kartoffeln
        tomato tomatoes f Tomate Tomate Tomaten
        bread - n Brot Brotes -
        cheese - m Käse Käses -
        soup - f Suppe Suppe -""",
    "drink": """
        coffee - m Kaffee Kaffees -
        tea - m Tee Tees -
        milk - f Milch Milch -
        water - n Wasser Wassers -""",
    "reading": """
        book books n Buch Buches Bücher
        newspaper newspapers f Zeitung Zeitung Zeitungen
        letter letters m Brief Briefes Briefe
        story stories f Geschichte Geschichte Geschichten""",
    "vehicle": """
        car cars n Auto Autos Autos
        bicycle bicycles n Fahrrad Fahrrades Fahrräder
        boat boats n Boot Bootes Boote""",
    "clothing": """
        coat coats m Mantel Mantels Mäntel
        hat hats m Hut Hutes Hüte
        shirt shirts n Hemd Hemdes Hemden
        dress dresses n Kleid Kleides Kleider
        bag bags f Tasche Tasche Taschen""",
    "thing": """
        key keys m Schlüssel Schlüssels Schlüssel
        picture pictures n Bild Bildes Bilder
        flower flowers f Blume Blume Blumen
        gift gifts n Geschenk Geschenkes Geschenke
        ball balls m Ball Balles Bälle
        lamp lamps f Lampe Lampe Lampen
        clock clocks f Uhr Uhr Uhren""",
    "furniture": """
        table tables m Tisch Tisches Tische
        chair chairs m Stuhl Stuhles Stühle
        bed beds n Bett Bettes Betten""",
    "opening": """
        door doors f Tür Tür Türen
        window windows n Fenster Fensters Fenster""",
    "room": """
        kitchen kitchens f Küche Küche Küchen
        room rooms n Zimmer Zimmers Zimmer
        office offices n Büro Büros Büros""",
    "building": """
        house houses n Haus Hauses Häuser
        school schools f Schule Schule Schulen
        church churches f Kirche Kirche Kirchen
        hospital hospitals n Krankenhaus Krankenhauses Krankenhäuser
        hotel hotels n Hotel Hotels Hotels
        museum museums n Museum Museums Museen
        library libraries f Bibliothek Bibliothek Bibliotheken""",
    "area": """
        garden gardens m Garten Gartens Gärten
        park parks m Park Parks Parks
        forest forests m Wald Waldes Wälder
        city cities f Stadt Stadt Städte
        village villages n Dorf Dorfes Dörfer""",
    "site": """
        station stations m Bahnhof Bahnhofs Bahnhöfe
        tree trees m Baum Baumes Bäume
        street streets f Straße Straße Straßen""",
}


def parse_nouns(kind: str, table: str) -> tuple[Noun, ...]:
    """Read one block of the noun table; "-" stands for a missing plural."""
    rows = [line.replace("-", "").split(" ") for line in map(str.strip, table.strip().splitlines())]
    return tuple(
        Noun(en, en_plural, gender, de, genitive, plural, kind) for en, en_plural, gender, de, genitive, plural in rows
    )


NOUNS: dict[str, tuple[Noun, ...]] = {kind: parse_nouns(kind, table) for kind, table in NOUN_TABLE.items()}
NOUN: dict[str, Noun] = {noun.en: noun for nouns in NOUNS.values() for noun in nouns}

NAMES = ("Anna", "Emma", "Julia", "Lukas", "Maria", "Max", "Paul", "Peter", "Sophie", "Thomas")
CITIES = (("Berlin", "Berlin"), ("Hamburg", "Hamburg"), ("Munich", "München"), ("Vienna", "Wien"), ("Cologne", "Köln"))

ADJECTIVE: dict[str, Adjective] = {
    en: Adjective(en, de, stem)
    for en, de, stem in (
        ("old", "alt", "alt"),
        ("new", "neu", "neu"),
        ("young", "jung", "jung"),
        ("big", "groß", "groß"),
        ("small", "klein", "klein"),
        ("good", "gut", "gut"),
        ("beautiful", "schön", "schön"),
        ("expensive", "teuer", "teur"),
        ("cheap", "billig", "billig"),
        ("red", "rot", "rot"),
        ("blue", "blau", "blau"),
        ("green", "grün", "grün"),
        ("black", "schwarz", "schwarz"),
        ("white", "weiß", "weiß"),
        ("warm", "warm", "warm"),
        ("cold", "kalt", "kalt"),
        ("fresh", "frisch", "frisch"),
        ("interesting", "interessant", "interessant"),
        ("long", "lang", "lang"),
        ("tired", "müde", "müd"),
        ("happy", "glücklich", "glücklich"),
        ("sad", "traurig", "traurig"),
        ("sick", "krank", "krank"),
        ("friendly", "freundlich", "freundlich"),
        ("rich", "reich", "reich"),
    )
}
ADJECTIVES: dict[str, tuple[Adjective, ...]] = {
    kind: tuple(ADJECTIVE[word] for word in words.split())
    for kind, words in {
        "person": "old young friendly happy sad tired sick rich",
        "relative": "old young friendly happy sad tired sick good",
        "animal": "old young big small black white tired sick",
        "food": "fresh good cheap cold warm small",
        "drink": "cold warm fresh good",
        "reading": "new old interesting long good beautiful",
        "vehicle": "new old expensive cheap red blue green black white",
        "clothing": "new old expensive cheap red blue green black white warm beautiful",
        "thing": "new old expensive cheap red blue green beautiful small big",
        "furniture": "new old expensive cheap big small white",
        "opening": "new old big small green white",
        "room": "new old big small warm cold beautiful",
        "building": "new old big small beautiful white",
        "area": "old big small beautiful",
        "site": "old big small beautiful",
    }.items()
}

THE = Determiner("the", "the", "", "definite", True)
A = Determiner("a", "", "ein", "ein")
THIS = Determiner("this", "these", "dies", "der", True)
EVERY = Determiner("every", "", "jed", "der")
NO = Determiner("no", "no", "kein", "ein")
WHICH = Determiner("which", "which", "welch", "der")
HOW_MANY = Determiner("", "how many", "wie viel", "many")
MANY = Determiner("", "many", "viel", "many")
BARE = Determiner("", "", "", "none")
POSSESSIVES = tuple(
    Determiner(en, en, de, "ein", True)
    for en, de in (
        ("my", "mein"),
        ("your", "dein"),
        ("his", "sein"),
        ("her", "ihr"),
        ("our", "unser"),
        ("their", "ihr"),
    )
)
CARDINALS = tuple(
    Determiner("", en, de, "none")
    for en, de in (
        ("two", "zwei"),
        ("three", "drei"),
        ("four", "vier"),
        ("five", "fünf"),
        ("ten", "zehn"),
        ("6", "6"),
        ("8", "8"),
        ("12", "12"),
        ("20", "20"),
        ("100", "100"),
    )
)

PRONOUN: dict[str, PronounEntry] = {
    entry.en: entry
    for entry in (
        PronounEntry("I", "me", "ich", "mich", "mir", 1, False),
        PronounEntry("you", "you", "du", "dich", "dir", 2, False),
        PronounEntry("he", "him", "er", "ihn", "ihm", 3, False),
        PronounEntry("she", "her", "sie", "sie", "ihr", 3, False),
        PronounEntry("we", "us", "wir", "uns", "uns", 1, True),
        PronounEntry("they", "them", "sie", "sie", "ihnen", 3, True),
        PronounEntry("it", "it", "es", "es", "ihm", 3, False),
    )
}
PRONOUNS = tuple(entry for word, entry in PRONOUN.items() if word != "it")

PREPOSITION: dict[str, Preposition] = {
    entry.en: entry
    for entry in (
        Preposition("in", "in", "dat"),
        Preposition("into", "in", "acc"),
        Preposition("to", "zu", "dat"),
        Preposition("on", "auf", "dat"),
        Preposition("at", "an", "dat"),
        Preposition("under", "unter", "dat"),
        Preposition("behind", "hinter", "dat"),
        Preposition("in front of", "vor", "dat"),
        Preposition("next to", "neben", "dat"),
        Preposition("through", "durch", "acc"),
        Preposition("with", "mit", "dat"),
        Preposition("without", "ohne", "acc"),
        Preposition("for", "für", "acc"),
    )
}
TO_CITY = Preposition("to", "nach", "dat")

TODAY, NOW = Adverb("today", "heute"), Adverb("now", "jetzt")
TOMORROW, YESTERDAY = Adverb("tomorrow", "morgen"), Adverb("yesterday", "gestern")
SOON = Adverb("soon", "bald")
EVERY_DAY = Adverb("every day", "jeden Tag", ((0, 0), (1, 1)))
MORNING = Adverb("in the morning", "am Morgen", ((0, 0), (1, 0), (2, 1)))
EVENING = Adverb("in the evening", "am Abend", ((0, 0), (1, 0), (2, 1)))
MONDAY = Adverb("on Monday", "am Montag", ((0, 0), (1, 1)))
SUNDAY = Adverb("on Sunday", "am Sonntag", ((0, 0), (1, 1)))
AFTER_WORK = Adverb("after work", "nach der Arbeit", ((0, 0), (1, 1), (1, 2)))
TIMES: dict[str, tuple[Adverb, ...]] = {
    "present": (TODAY, NOW, EVERY_DAY, MORNING, EVENING, SUNDAY, AFTER_WORK),
    "preterite": (YESTERDAY, MORNING, EVENING, MONDAY, SUNDAY, AFTER_WORK),
    "perfect": (TODAY,),
    "future": (TODAY, TOMORROW, SOON, EVENING, MONDAY, SUNDAY),
    "modal": (TODAY, NOW, TOMORROW, EVENING, MONDAY, AFTER_WORK),
}
FREQUENCIES = tuple(
    Adverb(en, de) for en, de in (("often", "oft"), ("always", "immer"), ("never", "nie"), ("sometimes", "manchmal"))
)
MANNERS: dict[str, tuple[Adverb, ...]] = {
    "sound": (Adverb("loudly", "laut"), Adverb("quietly", "leise")),
    "speed": (Adverb("quickly", "schnell"), Adverb("slowly", "langsam")),
    "hour": (Adverb("early", "früh"), Adverb("late", "spät")),
}
WHERE, WHERE_TO = Adverb("where", "wo"), Adverb("where", "wohin")
WHEN, WHY = Adverb("when", "wann"), Adverb("why", "warum")

AND, OR, BUT = Conjunction("and", "und"), Conjunction("or", "oder"), Conjunction("but", "aber")
BECAUSE, ALTHOUGH = Conjunction("because", "weil"), Conjunction("although", "obwohl")
IF, WHEN_NOW, WHEN_PAST = Conjunction("if", "wenn"), Conjunction("when", "wenn"), Conjunction("when", "als")
THAT, WHETHER = Conjunction("that", "dass"), Conjunction("whether", "ob")
