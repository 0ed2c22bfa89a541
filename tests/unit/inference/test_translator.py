"""What Python code gives a translator is checked as what the command line gives."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from support import FORMAT_1

import seq2seq
from seq2seq.config import Decoding
from seq2seq.errors import ConfigError
from seq2seq.inference.translation import Request
from seq2seq.inference.translator import Translator
from seq2seq.model.translation import TranslationModel

MODEL = FORMAT_1
LINE = "my friend hears the old house ."
MISTAKES: dict[str, dict[str, Any]] = {
    "beam_size=0: must be at least 1": {"beam_size": 0},
    "search=greedy: no such choice.*beam, sample": {"search": "greedy"},
    "n_best=7 and decoding.beam_size=5: a beam holds no more": {"n_best": 7},
    "temperature=2.0 and decoding.search=beam": {"temperature": 2.0},
    "batch_size: expected a whole number": {"batch_size": 2.5},
    "precision=fp8: no such choice": {"precision": "fp8"},
    "length_penalty=nan: must be finite": {"length_penalty": float("nan")},
    "the least is more than the most": {"min_length_ratio": 3.0, "max_length_ratio": 2.0},
}


@pytest.fixture(scope="module")
def translator() -> Translator:
    return seq2seq.load(MODEL)


@pytest.mark.parametrize("complaint", MISTAKES)
def test_a_mistake_is_refused_before_anything_is_done(translator: Translator, complaint: str) -> None:
    decoding = Decoding(**MISTAKES[complaint])
    with pytest.raises(ConfigError, match=complaint):
        next(translator.translate_lines([LINE], decoding))
    with pytest.raises(ConfigError, match=complaint):
        translator.translate_group([], decoding)


def test_options_that_were_changed_are_checked_again(translator: Translator) -> None:
    decoding = Decoding(beam_size=2)
    (ranked,) = translator.translate_group([Request(LINE)], decoding)
    decoding.n_best = 3
    with pytest.raises(ConfigError, match="a beam holds no more"):
        translator.translate_group([Request(LINE)], decoding)
    assert translator.translate_group([Request(LINE)], replace(decoding, n_best=1))[0][0].text == ranked[0].text


@pytest.mark.parametrize(
    ("decoding", "expected"),
    [
        (Decoding(batch_size=1, beam_size=1, precision="fp32"), "highest"),
        (Decoding(batch_size=2, beam_size=1, precision="fp32"), "medium"),
        (Decoding(batch_size=1, beam_size=2, precision="fp32"), "medium"),
        (Decoding(batch_size=2, search="sample", precision="fp32"), "medium"),
        (Decoding(batch_size=2, precision="bf16"), "highest"),
        (None, "medium"),
    ],
    ids=["a row", "greedy", "beam", "sampling", "bf16", "score"],
)
def test_several_rows_in_fp32_have_the_fastest_products(
    decoding: Decoding | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("translator", "teacher_forcing"):
        monkeypatch.setattr(f"seq2seq.inference.{module}.fastest_fp32_products", lambda _: "medium")
    models, seen, before = seq2seq.load(MODEL), set(), torch.get_float32_matmul_precision()
    encode = TranslationModel.encode

    def watched(*given: Any) -> Any:
        seen.add(torch.get_float32_matmul_precision())
        return encode(*given)

    monkeypatch.setattr(TranslationModel, "encode", watched)
    list(models.translate_lines([LINE, LINE], decoding)) if decoding else models.score([LINE], [LINE])
    assert (seen, torch.get_float32_matmul_precision()) == ({expected}, before)


@pytest.mark.parametrize("device", ["auto", "cpu", torch.device("cpu")], ids=str)
def test_a_device_has_the_names_of_the_command_line(device: Any) -> None:
    found = seq2seq.load(MODEL, device=device)
    assert device == "auto" or found.device == torch.device("cpu")
    assert found.model.output.bias.device.type == found.device.type


@pytest.mark.parametrize("device", ["gpu", "xpu", ""])
def test_a_device_that_is_not_here_is_named(device: str) -> None:
    with pytest.raises(ConfigError, match=f"device={device}: not available here. Use one of: .*cpu, or device=auto"):
        seq2seq.load(MODEL, device=device)
