"""Paired tests between systems, and `seq2seq bleu` that prints them."""

import json
import random
from pathlib import Path

import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest

from seq2seq.cli.main import main
from seq2seq.inference import comparison, metrics
from seq2seq.inference.significance import TESTS, against_baseline


@pytest.fixture(autouse=True)
def _few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    for test in TESTS:
        monkeypatch.setitem(PairedTest._DEFAULT_SAMPLES, test, 300)


REFERENCES = [f"der {adjective} {noun} sieht {number} Bäume ." for number in range(6) for adjective in ("alte", "neue")
              for noun in ("Hund", "Mann", "Baum")]  # fmt: skip


def damaged(share: float) -> list[str]:
    """The references with so much of their words left out."""
    generator = random.Random(7)
    return [" ".join(w for w in line.split() if generator.random() > share) for line in REFERENCES]


def test_huge_test_sets_have_fewer_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_DRAWN", 200 * len(REFERENCES))
    (found,) = against_baseline(damaged(0.1), [damaged(0.6)], REFERENCES, "13a")
    assert "bs:200" in found.signatures["bleu"]["bs"]
    assert "ar:2000" in found.signatures["bleu"]["ar"]


def test_a_system_that_is_much_worse_differs_and_one_that_is_the_same_does_not() -> None:
    baseline = damaged(0.1)
    worse, same, nearly = against_baseline(
        baseline, [damaged(0.6), list(baseline), [*damaged(0.1)[:-1], REFERENCES[-1]]], REFERENCES, "13a"
    )
    for metric in ("bleu", "chrf", "ter"):
        for test in TESTS:
            assert worse.p_values[metric][test] < 0.01
            assert same.p_values[metric][test] == 1.0
            assert nearly.p_values[metric][test] > 0.05


@pytest.mark.parametrize("test", TESTS)
def test_the_numbers_are_sacrebleus(test: str) -> None:
    first, second = damaged(0.1), damaged(0.2)
    (ours,) = against_baseline(first, [second], REFERENCES, "13a")
    named = [("first", first), ("second", second)]
    signatures, table = PairedTest(named, {"BLEU": BLEU()}, [REFERENCES], test_type=test)()
    assert ours.p_values["bleu"][test] == pytest.approx(table["BLEU"][1].p_value, abs=1e-5)  # type: ignore[union-attr]
    assert ours.signatures["bleu"][test] == str(signatures["BLEU"])
    assert f"{test}:" in ours.signatures["bleu"][test]


@pytest.mark.parametrize("changed", [1, 2, 3])
def test_a_few_changed_sentences_are_never_significant(changed: int) -> None:
    worse = ["nothing of it" if number < changed else line for number, line in enumerate(REFERENCES)]
    (found,) = against_baseline(REFERENCES, [worse], REFERENCES, "13a")
    for tests in found.p_values.values():
        assert tests["ar"] >= 2.0 ** (1 - changed)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, lines in (("ref", REFERENCES), ("a", damaged(0.1)), ("b", damaged(0.6)), ("short", ["x"])):
        Path(name).write_text("".join(f"{line}\n" for line in lines))
    return tmp_path


def test_bleu_tests_every_system_against_the_first(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bleu", "hypothesis=[a,b,a]", "reference=ref", "output_format=json"]) == 0
    first, second, third = json.loads(capfd.readouterr().out)["systems"]
    assert [first["hypothesis"], second["hypothesis"], third["hypothesis"]] == ["a", "b", "a"]
    assert "bleu_p_bs" not in first
    assert second["bleu"] < first["bleu"] == third["bleu"]
    assert second["chrf_p_ar"] < 0.01 < third["chrf_p_ar"] == 1.0
    assert main(["bleu", "hypothesis=[a,b]", "reference=ref"]) == 0
    captured = capfd.readouterr()
    assert captured.out.startswith("a (baseline)\nBLEU")
    assert "p = " in captured.out.partition("\nb\n")[2]
    assert "Computing" not in captured.err
    rows = [json.dumps({"source": "a", "tokens": [], "translation": line}) for line in damaged(0.6)]
    Path("rows").write_text("".join(f"{row}\n" for row in rows))  # as `translate output_format=jsonl` writes them
    for one in ("hypothesis=b", "hypothesis=[b]", "hypothesis=rows"):
        assert main(["bleu", one, "reference=ref", "output_format=json"]) == 0
        alone = json.loads(capfd.readouterr().out)
        assert alone["bleu"] == second["bleu"]
        assert "systems" not in alone


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["hypothesis=[a,short]", "reference=ref"], "short has 1 lines and ref has 36"),
        (["hypothesis=[]", "reference=ref"], "the first is the baseline"),
        (["hypothesis=[-,a]", "reference=-"], "both inputs are stdin"),
        (["hypothesis=[a,nowhere]", "reference=ref"], "nowhere: no such file (nor nowhere.gz)"),
    ],
)
def test_mistakes_are_named(
    files: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(["bleu", *arguments]) == 2
    captured = capfd.readouterr()
    assert complaint in captured.err
    assert captured.out == ""


def test_seeds_that_disagree_on_what_is_better_show_nothing() -> None:
    better, worse = (
        against_baseline(first, [second], REFERENCES, "13a")[0]
        for first, second in ((damaged(0.6), damaged(0.1)), (damaged(0.1), damaged(0.6)))
    )
    assert better.differences["bleu"] > 0 > worse.differences["bleu"]
    assert comparison._over_seeds([better, better], "bleu")["bs"] == better.p_values["bleu"]["bs"] < 0.01
    assert comparison._over_seeds([better, worse], "bleu") == {"bs": 1.0, "ar": 1.0}
