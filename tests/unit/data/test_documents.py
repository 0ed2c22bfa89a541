"""The documents of the embedded corpus: pronouns, splits, contrasts and reproducibility."""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

sys.path.insert(0, str(ROOT / "data"))

import documents
import generate

WRITTEN = ROOT / "data/embedded/documents"
FORMS = {
    "m": {"er", "ihn", "dieser", "sein", "seine", "seinen", "seinem"},
    "f": {"sie", "diese", "ihr", "ihren", "ihrem", "ihre"},
    "n": {"es", "dieses", "sein", "seine", "seinen", "seinem"},
}


def drawn(count: int = 300) -> list[documents.Document]:
    return list(itertools.islice(documents.documents(5), count))


def written(split: str) -> list[list[tuple[str, str, str]]]:
    sides = [(WRITTEN / f"{split}.{side}").read_text().removesuffix("\n").split("\n") for side in ("en", "de", "align")]
    found: list[list[tuple[str, str, str]]] = [[]]
    for row in zip(*sides, strict=True):
        if any(row):
            found[-1].append(row)
        else:
            assert row == ("", "", "")
            found.append([])
    return found


def test_files_are_reproduced_byte_for_byte(tmp_path: Path) -> None:
    generate.write_documents(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in WRITTEN.iterdir())
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (WRITTEN / path.name).read_bytes(), path.name


def test_a_pronoun_has_the_gender_of_the_only_thing_it_can_mean() -> None:
    distances: Counter[int] = Counter()
    for document in drawn():
        pairs = generate.as_pairs(document)
        introduced = document.sentences[document.introduced]
        nouns = [node.noun for node in documents._nodes(introduced) if isinstance(node, documents.NounPhrase)]
        singular = [noun for noun in nouns if noun.en in words(pairs[document.introduced].en)]
        (thing,) = [noun for noun in singular if noun in documents.THINGS[document.gender]]
        assert not [noun for noun in singular if noun.kind not in documents.HUMAN and noun is not thing]
        for place, pair in enumerate(pairs):
            if place in document.references:
                found = [realised(document.references[place], gender) for gender in "mfn"]
                assert pair.de == found["mfn".index(document.gender)]
                assert {text == pair.de for text in found} == {True, False}
                assert words(pair.de) & FORMS[document.gender], pair
                distances[place - document.introduced] += 1
            elif place != document.introduced:
                assert not words(pair.en) & {"it", "its"}
    assert set(distances) == {1, 2, 3}
    assert min(distances.values()) > 30


def realised(reference: documents.Reference, gender: str) -> str:
    return generate.realise(reference.sentences[gender]).de


def tokens(sentence: str) -> list[str]:
    return [word.strip(".,").lower() for word in sentence.split()]


def words(sentence: str) -> set[str]:
    return set(tokens(sentence))


def test_the_sentence_alone_gives_no_hint() -> None:
    """What is said of a thing goes with every gender: only the pronoun differs, and the English never."""
    for document in drawn(100):
        for reference in document.references.values():
            english = {generate.realise(sentence).en for sentence in reference.sentences.values()}
            assert len(english) == 1
            split = [realised(reference, gender).split() for gender in "mfn"]
            assert len({len(sentence) for sentence in split}) == 1
            assert sum(len(set(column)) > 1 for column in zip(*split, strict=True)) == 1
    assert len({len(things) for things in documents.THINGS.values()}) == 1


def test_you_has_no_past_tense() -> None:
    assert not [text for text in (WRITTEN / "train.de").read_text().splitlines() if text.startswith("Du kaufte")]


@pytest.mark.parametrize(("split", "size"), generate.DOCUMENTS.items())
def test_files_hold_documents_with_every_word_aligned(split: str, size: int) -> None:
    found = written(split)
    assert len(found) == size
    assert {len(rows) for rows in found} == {2, 3, 4}
    for english, german, align in itertools.chain.from_iterable(found):
        links = [tuple(map(int, link.split("-"))) for link in align.split()]
        assert {i for i, _ in links} == set(range(len(english.split())))
        assert {j for _, j in links} == set(range(len(german.split())))


def items() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (WRITTEN / "contrastive.jsonl").read_text().splitlines()]


def test_no_document_is_in_two_files() -> None:
    texts = ["\n".join(row[0] for row in rows) for split in generate.DOCUMENTS for rows in written(split)]
    texts += ["\n".join([*item["context"], item["source"]]) for item in items()]
    assert len(set(texts)) == len(texts)


def test_contrasts_differ_in_the_pronoun_alone_and_are_balanced() -> None:
    for item in items():
        assert item["wrong"]
        for wrong in item["wrong"]:
            pairs = zip(wrong.split(), item["target"].split(), strict=True)
            assert sum(one != other for one, other in pairs) == 1
        assert item["distance"] <= len(item["context"])
    genders = Counter((item["distance"], item["gender"]) for item in items())
    assert genders == {(distance, gender): generate.CONTRASTS // 3 for distance in (1, 2, 3) for gender in "mfn"}


FAMILIES = {
    "it": {"m": {"er", "ihn"}, "f": {"sie"}, "n": {"es"}},
    "this": {"m": {"dieser"}, "f": {"diese"}, "n": {"dieses"}},
    "its": {
        gender: {stem + ending for ending in ("", "e", "en", "em")}
        for gender, stem in (("m", "sein"), ("f", "ihr"), ("n", "sein"))
    },
}
GENDERS = {noun.en: gender for gender, nouns in documents.THINGS.items() for noun in nouns}


def thing(sentences: list[str]) -> tuple[int, str]:
    """Place and gender of the only singular thing, read from the English text."""
    ((place, noun),) = [(i, word) for i, text in enumerate(sentences) for word in words(text) if word in GENDERS]
    return place, GENDERS[noun]


@pytest.mark.parametrize("split", generate.DOCUMENTS)
def test_written_pronouns_agree_with_the_noun_before(split: str) -> None:
    distances: Counter[int] = Counter()
    for rows in written(split):
        introduced, gender = thing([row[0] for row in rows])
        for place, (english, german, align) in enumerate(rows):
            source, target = tokens(english), tokens(german)
            links = [tuple(map(int, link.split("-"))) for link in align.split()]
            for i, word in enumerate(source):
                if word in ("it", "its") or source[i : i + 2] == ["this", "one"]:
                    (pronoun,) = {target[j] for k, j in links if k == i}
                    assert pronoun in FAMILIES[word][gender], (english, german)
                    distances[place - introduced] += 1
    assert set(distances) == {1, 2, 3}


def test_contrasts_have_the_pronoun_of_the_noun_at_their_distance() -> None:
    for item in items():
        place, gender = thing([*item["context"], item["source"]])
        assert (len(item["context"]) - place, gender) == (item["distance"], item["gender"])
        family = FAMILIES[item["pronoun"].split()[0]]
        assert len(item["wrong"]) == len(set(item["wrong"])) == (1 if item["pronoun"] == "its" else 2)
        for wrong in item["wrong"]:
            pairs = zip(tokens(item["target"]), tokens(wrong), strict=True)
            ((right, other),) = [(one, two) for one, two in pairs if one != two]
            assert right in family[gender]
            assert other in set().union(*family.values()) - family[gender]


def test_the_english_says_what_a_pronoun_means() -> None:
    """No city or price to take for the thing; "this one" is near it, and there are not several to choose from."""
    texts = [[row[0] for row in rows] for split in generate.DOCUMENTS for rows in written(split)]
    texts += [[*item["context"], item["source"]] for item in items()]
    plurals = {noun.en_plural for nouns in documents.THINGS.values() for noun in nouns}
    for sentences in texts:
        said = [words(text) for text in sentences]
        introduced, _ = thing(sentences)
        assert tokens(sentences[introduced])[0] not in ("no", "every", "many"), sentences
        assert not {city.lower() for city in documents.CITIES} & set().union(*said), sentences
        assert not {"price", "color"} & set().union(*said[:-1]), sentences
        for place, text in enumerate(sentences):
            if text.startswith("This one"):
                assert place - 1 == introduced or "it" in said[place - 1], sentences
                assert not plurals & set().union(*said[:place]), sentences


def test_a_document_does_not_contradict_or_repeat_itself() -> None:
    for document in drawn():
        places = [place for place, reference in document.references.items() if reference.kind != "its"]
        clauses = [document.sentences[place].clauses[0] for place in (document.introduced, *places)]
        said = [documents._scale(clause.predicate) for clause in clauses if clause.predicate]
        assert len(said) == len(set(said))


def test_the_same_is_said_of_things_of_each_gender_equally_often() -> None:
    counts: dict[tuple[str, str], Counter[str]] = {}
    for document in drawn(1500):
        for reference in document.references.values():
            counts.setdefault(reference.pattern, Counter())[document.gender] += 1
    frequent = [count for count in counts.values() if count.total() >= 20]
    assert len(frequent) > 20
    assert all(max(count.values()) / count.total() < 0.4 for count in frequent)
