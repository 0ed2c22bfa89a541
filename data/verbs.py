"""The verb lexicon: full verbs with their valency, auxiliaries and modals."""

from __future__ import annotations

from lexicon import Verb

ANIMATE = ("person", "animal")
HUMAN = ("person", "relative")
CREATURE = (*HUMAN, "animal")
GOODS = ("reading", "vehicle", "clothing", "thing")
CONCRETE = (*GOODS, "furniture")


def verb(
    en: str,
    de: str,
    *,
    adjuncts: str = "",
    objects: tuple[str, ...] = (),
    subjects: tuple[str, ...] = ("person",),
    case: str = "acc",
    clause: str = "",
    sein: bool = False,
    recipient: bool = False,
    stative: bool = False,
) -> Verb:
    """Build an entry from its principal parts; "up+" marks a particle, "auf+" a separable prefix."""
    en_particle, _, en_forms = en.rpartition("+")
    de_prefix, _, de_forms = de.rpartition("+")
    return Verb(
        tuple("" if form == "-" else form for form in en_forms.split()),
        tuple(de_forms.split()),
        en_particle,
        de_prefix,
        auxiliary="sein" if sein else "haben",
        subjects=subjects,
        objects=objects,
        case=case,
        recipient=recipient,
        adjuncts=tuple(adjuncts.split()),
        clause=clause,
        stative=stative,
    )


INTRANSITIVE = (
    verb(
        "sleep sleeps slept slept",
        "schlafen schlafe schläfst schläft schlief geschlafen",
        adjuncts="place",
        subjects=ANIMATE,
    ),
    verb(
        "work works worked worked",
        "arbeiten arbeite arbeitest arbeitet arbeitete gearbeitet",
        adjuncts="place company speed",
    ),
    verb("sing sings sang sung", "singen singe singst singt sang gesungen", adjuncts="place company sound"),
    verb("laugh laughs laughed laughed", "lachen lache lachst lacht lachte gelacht", adjuncts="place sound"),
    verb("dance dances danced danced", "tanzen tanze tanzt tanzt tanzte getanzt", adjuncts="place company"),
    verb(
        "play plays played played",
        "spielen spiele spielst spielt spielte gespielt",
        adjuncts="place company",
        subjects=ANIMATE,
    ),
    verb("wait waits waited waited", "warten warte wartest wartet wartete gewartet", adjuncts="place"),
    verb("sit sits sat sat", "sitzen sitze sitzt sitzt saß gesessen", adjuncts="seat", subjects=ANIMATE),
    verb("up+get gets got gotten", "auf+stehen stehe stehst steht stand gestanden", adjuncts="hour", sein=True),
    verb(
        "asleep+fall falls fell fallen",
        "ein+schlafen schlafe schläfst schläft schlief geschlafen",
        adjuncts="hour place",
        subjects=ANIMATE,
        sein=True,
    ),
    verb("arrive arrives arrived arrived", "an+kommen komme kommst kommt kam gekommen", adjuncts="hour", sein=True),
    verb(
        "back+come comes came come",
        "zurück+kommen komme kommst kommt kam gekommen",
        adjuncts="hour",
        subjects=ANIMATE,
        sein=True,
    ),
    verb("go goes went gone", "gehen gehe gehst geht ging gegangen", adjuncts="goal company", sein=True),
    verb(
        "run runs ran run",
        "laufen laufe läufst läuft lief gelaufen",
        adjuncts="goal speed",
        subjects=ANIMATE,
        sein=True,
    ),
    verb(
        "travel travels traveled traveled",
        "reisen reise reist reist reiste gereist",
        adjuncts="city company",
        sein=True,
    ),
    verb("live lives lived lived", "wohnen wohne wohnst wohnt wohnte gewohnt", adjuncts="home", stative=True),
)

TRANSITIVE = (
    verb(
        "see sees saw seen",
        "sehen sehe siehst sieht sah gesehen",
        objects=(*CREATURE, *CONCRETE),
        subjects=ANIMATE,
        adjuncts="place",
    ),
    verb(
        "hear hears heard heard",
        "hören höre hörst hört hörte gehört",
        objects=CREATURE,
        subjects=ANIMATE,
        adjuncts="place",
    ),
    verb(
        "find finds found found",
        "finden finde findest findet fand gefunden",
        objects=("animal", "clothing", "thing"),
        adjuncts="place",
    ),
    verb(
        "for+look looks looked looked",
        "suchen suche suchst sucht suchte gesucht",
        objects=(*CREATURE, "reading", "clothing", "thing"),
        adjuncts="place",
    ),
    verb(
        "buy buys bought bought",
        "kaufen kaufe kaufst kauft kaufte gekauft",
        objects=("food", *CONCRETE),
        adjuncts="benefit",
    ),
    verb(
        "sell sells sold sold",
        "verkaufen verkaufe verkaufst verkauft verkaufte verkauft",
        objects=("food", *CONCRETE, "building"),
    ),
    verb("read reads - read", "lesen lese liest liest las gelesen", objects=("reading",), adjuncts="place"),
    verb(
        "write writes wrote written",
        "schreiben schreibe schreibst schreibt schrieb geschrieben",
        objects=("reading",),
        adjuncts="place benefit",
    ),
    verb("eat eats ate eaten", "essen esse isst isst aß gegessen", objects=("food",), adjuncts="place"),
    verb(
        "drink drinks drank drunk",
        "trinken trinke trinkst trinkt trank getrunken",
        objects=("drink",),
        adjuncts="place",
    ),
    verb(
        "cook cooks cooked cooked",
        "kochen koche kochst kocht kochte gekocht",
        objects=("cookable",),
        adjuncts="benefit",
    ),
    verb(
        "visit visits visited visited",
        "besuchen besuche besuchst besucht besuchte besucht",
        objects=(*HUMAN, "building"),
    ),
    verb(
        "repair repairs repaired repaired",
        "reparieren repariere reparierst repariert reparierte repariert",
        objects=("vehicle", "furniture", "opening"),
    ),
    verb(
        "wash washes washed washed",
        "waschen wasche wäschst wäscht wusch gewaschen",
        objects=("animal", "vehicle", "garment"),
    ),
    verb("carry carries carried carried", "tragen trage trägst trägt trug getragen", objects=("clothing", "furniture")),
    verb(
        "lose loses lost lost",
        "verlieren verliere verlierst verliert verlor verloren",
        objects=("clothing", "thing"),
        adjuncts="place",
    ),
    verb("love loves loved loved", "lieben liebe liebst liebt liebte geliebt", objects=CREATURE, stative=True),
    verb(
        "know knows knew known",
        "kennen kenne kennst kennt kannte gekannt",
        objects=(*HUMAN, "building", "reading"),
        stative=True,
    ),
    verb(
        "need needs needed needed",
        "brauchen brauche brauchst braucht brauchte gebraucht",
        objects=("food", *GOODS),
        stative=True,
    ),
    verb("have has had had", "haben habe hast hat hatte gehabt", objects=("animal", "food", *CONCRETE), stative=True),
    verb("invite invites invited invited", "ein+laden lade lädst lädt lud geladen", objects=HUMAN),
    verb("call calls called called", "an+rufen rufe rufst ruft rief gerufen", objects=HUMAN),
    verb(
        "fetch fetches fetched fetched",
        "ab+holen hole holst holt holte geholt",
        objects=(*HUMAN, "thing"),
        adjuncts="place",
    ),
    verb("open opens opened opened", "auf+machen mache machst macht machte gemacht", objects=("opening", "gift")),
    verb("close closes closed closed", "zu+machen mache machst macht machte gemacht", objects=("opening",)),
    verb("tidy tidies tidied tidied", "auf+räumen räume räumst räumt räumte geräumt", objects=("room",)),
    verb(
        "help helps helped helped",
        "helfen helfe hilfst hilft half geholfen",
        objects=HUMAN,
        case="dat",
        adjuncts="place",
    ),
    verb("thank thanks thanked thanked", "danken danke dankst dankt dankte gedankt", objects=HUMAN, case="dat"),
    verb(
        "answer answers answered answered",
        "antworten antworte antwortest antwortet antwortete geantwortet",
        objects=HUMAN,
        case="dat",
    ),
    verb(
        "follow follows followed followed",
        "folgen folge folgst folgt folgte gefolgt",
        objects=CREATURE,
        subjects=ANIMATE,
        case="dat",
        sein=True,
    ),
    verb("to+listen listens listened listened", "zu+hören höre hörst hört hörte gehört", objects=HUMAN, case="dat"),
    verb(
        "to+belong belongs belonged belonged",
        "gehören gehöre gehörst gehört gehörte gehört",
        objects=HUMAN,
        subjects=("thing", "vehicle", "clothing"),
        case="dat",
        stative=True,
    ),
)

DITRANSITIVE = tuple(
    verb(en, de, objects=objects, recipient=True)
    for en, de, objects in (
        ("give gives gave given", "geben gebe gibst gibt gab gegeben", (*GOODS, "food")),
        ("show shows showed shown", "zeigen zeige zeigst zeigt zeigte gezeigt", (*CONCRETE, "animal")),
        ("send sends sent sent", "schicken schicke schickst schickt schickte geschickt", ("reading", "thing")),
        (
            "bring brings brought brought",
            "bringen bringe bringst bringt brachte gebracht",
            ("food", "drink", "reading", "clothing"),
        ),
        ("tell tells told told", "erzählen erzähle erzählst erzählt erzählte erzählt", ("story",)),
    )
)

CLAUSAL = (
    verb("know knows knew known", "wissen weiß weißt weiß wusste gewusst", clause="that", stative=True),
    verb(
        "believe believes believed believed",
        "glauben glaube glaubst glaubt glaubte geglaubt",
        clause="that",
        stative=True,
    ),
    verb("say says said said", "sagen sage sagst sagt sagte gesagt", clause="that"),
    verb("hope hopes hoped hoped", "hoffen hoffe hoffst hofft hoffte gehofft", clause="that", stative=True),
    verb("ask asks asked asked", "fragen frage fragst fragt fragte gefragt", clause="whether"),
)

WEATHER = (
    verb("rain rains rained rained", "regnen regne regnest regnet regnete geregnet", adjuncts="place"),
    verb("snow snows snowed snowed", "schneien schneie schneist schneit schneite geschneit", adjuncts="place"),
)

BE = Verb(
    ("be", "is", "was", "been"),
    ("sein", "bin", "bist", "ist", "war", "gewesen"),
    de_plural="sind",
    auxiliary="sein",
    stative=True,
)
HAVE = next(entry for entry in TRANSITIVE if entry.en[0] == "have")
WILL = verb("will will - -", "werden werde wirst wird wurde geworden")
MODALS: dict[str, Verb] = {
    "can": verb("can can - -", "können kann kannst kann - -"),
    "must": verb("must must - -", "müssen muss musst muss - -"),
    "should": verb("should should - -", "sollen soll sollst soll - -"),
    "may": verb("may may - -", "dürfen darf darfst darf - -"),
    "want": verb("to+want wants - -", "wollen will willst will - -"),
}
VERB: dict[str, Verb] = {
    " ".join(filter(None, (entry.en[0], entry.en_particle, entry.clause))): entry
    for entry in (*INTRANSITIVE, *TRANSITIVE, *DITRANSITIVE, *CLAUSAL, *WEATHER, BE)
}
