"""The exported program reads and writes text as the trainer does."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.text.cleaning import clean, portable_patterns
from seq2seq.text.protection import Protection
from seq2seq.text.tokenizer import Tokenizer

translate_onnx = pytest.importorskip("seq2seq.export.translate_onnx", reason="the extra `onnx`")

PROTECT = ["urls", "placeholders"]
ODD = "ab .\t\u00a0\u00ad\u2028\u200b\u200c\u200d\u180e\u0600\u0e01\u0915\u1820\ufe0f"
ODD += "\U0001f3f4\U000e0067\U000e007f\U0001f469"
LINES = st.text(st.sampled_from(ODD), max_size=8) | st.text(st.characters(codec="utf-8"), max_size=8)


@pytest.fixture(scope="module", params=[("bpe", False), ("bpe", True), ("word", False)], ids=["clean", "raw", "words"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, object]:
    """A tokenizer, and the same as an exported program has it."""
    kind, raw = request.param
    protect = PROTECT if kind == "bpe" else []
    directory = tmp_path_factory.mktemp("text")
    made = Tokenizer.train(
        ["the cat sees {name} at https://example.org/a .", "a dog hears it"],
        kind=kind,
        vocab_size=310,
        byte_fallback=kind == "bpe",
        character_coverage=1.0,
        normalization="identity",
        raw_text=raw,
        protect=protect,
    )
    tokenizer = Tokenizer(made.model, "test", raw_text=raw, protect=protect)
    for side in ("source", "target"):
        (directory / f"{side}.model").write_bytes(tokenizer.model)
    visible, unusual = portable_patterns()
    values = {"raw": raw, "visible": visible, "unusual": unusual, "protect": Protection(protect).pattern}
    return tokenizer, translate_onnx.Text(directory, json.loads(json.dumps(values)))


@given(line=LINES, kept=st.sampled_from(["", "{name}", "https://a.b/c", "{x} and {x}", "{a}\u00a0\u200b{b}"]))
def test_lines_are_read_as_in_training(both, line: str, kept: str) -> None:  # type: ignore[no-untyped-def]
    tokenizer, text = both
    for whole in (line + kept, f"{kept} {line}"):
        (expected,) = tokenizer.encode([whole])
        assert text.encode(whole) == expected
        assert text.is_blank(whole) == tokenizer.is_blank(whole)
        protected = tokenizer.protected(whole)
        assert text.protected(whole) == protected
        assert text.decode(expected, protected) == tokenizer.decode(expected, protected)
        assert text.pieces(expected, "source") == tokenizer.pieces(expected)


@given(tokens=st.lists(st.integers(0, 309), max_size=8))
def test_any_pieces_make_the_same_line(both, tokens: list[int]) -> None:  # type: ignore[no-untyped-def]
    tokenizer, text = both
    tokens = [token % len(tokenizer) for token in tokens]
    assert text.decode(tokens, ["x"]) == tokenizer.decode(tokens, ["x"])


def test_every_character_is_cleaned_alike(tmp_path: Path) -> None:
    visible, unusual = portable_patterns()
    text = translate_onnx.Text.__new__(translate_onnx.Text)
    text._raw, text._visible, text._unusual = (
        False,
        translate_onnx.re.compile(visible),
        translate_onnx.re.compile(unusual),
    )
    for code in range(0, 0x110000, 7):
        line = f"a{chr(code)}b"
        assert translate_onnx._replace(line, text._find_unusual(line)) == clean(line), hex(code)
