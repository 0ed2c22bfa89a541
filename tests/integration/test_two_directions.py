"""Links by posterior attention and by two directions, from end to end."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from seq2seq.cli.main import main
from seq2seq.inference import symmetrisation
from seq2seq.inference.symmetrisation import Tuned

SOURCES = ["the cat sees  a tree .", "", "a dog hears my friend .", "the dog"]
TARGETS = ["die Katze sieht  einen Baum .", "", "ein Hund", "der Hund hört"]


def lines(name: str) -> list[str]:
    return Path(name).read_text().splitlines()


@pytest.fixture
def align(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command that aligns these pairs with a little model; beside it stands one of the other direction."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(models / "additive/best", "forward")
    shutil.copytree(models / "additive/best", "backward")
    config = json.loads(Path("backward/config.json").read_text())
    config["data"]["source_lang"], config["data"]["target_lang"] = (
        config["data"]["target_lang"],
        config["data"]["source_lang"],
    )
    Path("backward/config.json").write_text(json.dumps(config))
    Path("backward/SHA256SUMS").unlink()
    Path("source").write_text("".join(f"{line}\n" for line in SOURCES))
    Path("target").write_text("".join(f"{line}\n" for line in TARGETS))
    return ["align", "checkpoint=forward", "source=source", "target=target"]


def test_two_directions_are_combined_as_their_files_are(align: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    reverse = ["align", "checkpoint=backward", "source=target", "target=source", "output=reverse"]
    for attention in ("prior", "posterior"):
        assert main([*align, "output=forward.align", f"attention={attention}"]) == 0
        assert main([*reverse, f"attention={attention}"]) == 0
        for method in ("intersection", "union", "grow-diag", "grow-diag-final-and"):
            both = ["reverse=backward", f"symmetrise={method}", f"attention={attention}", "output=both"]
            assert main([*align, *both]) == 0
            files = ["forward=forward.align", "reverse=reverse", "reversed=true", f"method={method}", "output=files"]
            assert main(["symmetrise", *files, "gold=both"]) == 0
            assert lines("both") == lines("files")
            assert lines("both")[1] == ""
            assert "AER 0.0000" in capfd.readouterr().err
    assert lines("forward.align") != lines("both")


def test_posterior_attention_of_translations_is_that_of_align(align: list[str]) -> None:
    said = ["translate", "checkpoint=forward", "input=source", "output_format=jsonl", "output=said.jsonl"]
    matrices = {}
    for attention in ("prior", "posterior"):
        links = ["alignments=links.jsonl", f"alignment_attention={attention}", "decoding.max_length=9"]
        assert main([*said, *links]) == 0
        again = ["align", "checkpoint=forward", "source=said.jsonl", "target=said.jsonl", "output=again"]
        assert main([*again, f"attention={attention}", "output_format=jsonl"]) == 0
        found, expected = ([json.loads(line)["matrix"] for line in lines(name)] for name in ("links.jsonl", "again"))
        assert len(found) == len(SOURCES)
        for one, other in zip(found, expected, strict=True):
            assert one == [pytest.approx(row, abs=1e-4) for row in other]
        matrices[attention] = found
    assert matrices["prior"] != matrices["posterior"]


def test_tuned_rules_are_kept_in_both_checkpoints(align: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*align, "reverse=backward", "tune=true", "attention=posterior", "output=tuned"]) == 0
    told = capfd.readouterr().err
    assert "forward: rows shifted by" in told
    assert "the two directions agree on" in told
    rules = [json.loads(Path(name, "links.json").read_text()) for name in ("forward", "backward")]
    assert all(rule["prior"] == {"shift": 0, "pieces": "mean", "threshold": None} for rule in rules)
    assert main([*align, "reverse=backward", "attention=posterior", "output=again"]) == 0
    assert lines("tuned") == lines("again")
    Path("forward/links.json").write_text('{"posterior": {"shift": 1, "threshold": 0.05}}')
    assert main([*align, "attention=posterior", "output=several"]) == 0
    assert any(line.count("-") > len(target.split()) for line, target in zip(lines("several"), TARGETS, strict=True))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["reverse=forward"], "Expected a model of the other direction"),
        (["tune=true"], "Give reverse=CHECKPOINT"),
        (["symmetrise=union"], "Give reverse=CHECKPOINT"),
        (["reverse=nowhere"], "no checkpoint here"),
    ],
)
def test_what_cannot_be_combined_is_refused(
    align: list[str], capfd: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    assert main([*align, *words]) == 2
    assert expected in capfd.readouterr().err


def test_rules_are_tuned_on_the_first_pairs(align: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    both, tuned = [*align, "reverse=backward", "tune=true"], []

    def tune(aligners: Any, forward: Any, reverse: Any) -> Tuned:
        tuned.append((len(forward), len(reverse)))
        return symmetrisation.tune(aligners, forward, reverse)

    monkeypatch.setattr("seq2seq.cli.align.tune", tune)
    monkeypatch.setattr("seq2seq.cli.align._TUNED", 3)
    assert main([*both, "output=all"]) == 0
    assert tuned == [(3, 3)]
    assert len(lines("all")) == len(SOURCES) > 3
    Path("source").write_text("")
    Path("target").write_text("")
    assert main([*both, "output=nothing"]) == 0
    assert lines("nothing") == []
    assert len(tuned) == 1


def test_a_broken_file_of_rules_is_named(align: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    Path("forward/links.json").write_text('{"posterior": {"shift": "far"}}')
    assert main(align) == 2
    assert "links.json: not readable" in capfd.readouterr().err
