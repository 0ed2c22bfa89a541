"""Plain values that anybody may have written, and what settings may say."""

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.protobuf import NORMAL, SPECIALS, sentencepiece_model

from seq2seq.config import parse
from seq2seq.errors import ConfigError, DataError, shown
from seq2seq.text.json_io import number, parse_json, read_bytes, read_json, typed
from seq2seq.text.normalizer_rules import longest_rule
from seq2seq.text.storage import within


@pytest.mark.parametrize("value", [None, 1, "a", "\U0001f600", [1.5, {"a": [True]}], [[]] * 500])
def test_json_is_read_as_it_was_written(value: Any) -> None:
    for ascii_only in (True, False):
        assert parse_json(json.dumps(value, ensure_ascii=ascii_only)) == value


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, "[" * 101 + "]" * 101, '{"a":' * 200 + "1" + "}" * 200, '"\\ud800"', "9" * 5000]
)
def test_what_nobody_could_walk_or_write_again_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 one of many
        parse_json(text)
    assert parse_json("[" * 100 + "]" * 100)


def test_only_regular_files_of_a_stated_size_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(ValueError, match="larger than 4 bytes"):
        read_bytes(path, 4)
    os.mkfifo(tmp_path / "pipe")
    for other in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            read_bytes(other, 5)
    os.truncate(path, 1 << 40)
    with pytest.raises(ValueError, match="larger than 16,777,216 bytes"):
        read_json(path)


@dataclass
class Part:
    """A dataclass inside another."""

    count: int = 0


@dataclass
class Whole:
    """One field of each kind."""

    name: str
    score: float | None
    parts: list[int]
    part: Part = field(default_factory=Part)
    groups: dict[str, float] = field(default_factory=dict)


def test_a_dataclass_comes_back() -> None:
    for whole in (Whole("a", 1.5, [1]), Whole("b", None, [], Part(3), {"x": 2.0})):
        assert typed(Whole, dataclasses.asdict(whole)) == whole


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": 1}, "'name' is int, expected str"),
        ({"score": "1"}, "'score' is str, expected float"),
        ({"score": True}, "'score' is bool, expected float"),
        ({"parts": [1.5]}, "'parts' is float, expected int"),
        ({"parts": 2**70}, "'parts' is int, expected list"),
        ({"parts": [2**63]}, "does not fit into 64 bits"),
        ({"part": {"count": "1"}}, "'count' is str"),
        ({"part": None}, "expected a group of keys, got NoneType"),
        ({"groups": {"x": []}}, "'groups' is list, expected float"),
        ({"other": 1}, "'other' is not known here"),
    ],
)
def test_what_is_not_of_its_type_is_named(change: dict[str, Any], complaint: str) -> None:
    values = {**dataclasses.asdict(Whole("a", 1.5, [1])), **change}
    with pytest.raises(ValueError, match=complaint):
        typed(Whole, values)
    with pytest.raises(ValueError, match="'name' is missing"):
        typed(Whole, {"score": None, "parts": []})
    with pytest.raises(ValueError, match="expected a group of keys, got list"):
        typed(Whole, [])


def test_numbers_are_finite() -> None:
    assert number({"a": 3}, "a") == 3
    assert number({"a": None}, "a") is None
    assert number({}, "a") is None
    for wrong in (float("nan"), float("inf"), "1", True, [1], 2**63):
        with pytest.raises(ValueError, match="'a'"):
            number({"a": wrong}, "a")


def test_links_may_lead_around_a_directory_but_not_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_text("")
    (tmp_path / "inside").write_text("")
    for name, goal in (("a", "file"), ("b", "../inside"), ("c", "/dev/zero"), ("d", "../in/file"), ("loop", "loop")):
        (tmp_path / "in" / name).symlink_to(goal)
    (tmp_path / "link").symlink_to("in")
    for directory in (tmp_path / "in", tmp_path / "link"):
        for name in ("file", "a", "d", "loop", "nothing"):
            assert within(directory, name) == directory / name
        for name in ("b", "c"):
            with pytest.raises(DataError, match="a link that leads out of"):
                within(directory, name)


def test_the_longest_rule_of_a_tokenizer_is_found() -> None:
    rules = (4).to_bytes(4, "little") + b"1234" + b"ab\0abcdef\0c\0"
    pieces = [*SPECIALS, (b"a", -1.0, NORMAL)]
    assert longest_rule(sentencepiece_model(pieces)) == 0
    assert longest_rule(sentencepiece_model(pieces, normalizer=[(3, 1), (2, rules)])) == 6
    assert longest_rule(sentencepiece_model(pieces, denormalizer=[(2, b""), (2, rules), (4, 1.0)])) == 6
    with pytest.raises(ValueError, match="not a protocol buffer"):
        longest_rule(b"\x1a" + b"\xff" * 20)


def test_messages_stay_short() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("bleu", {"x" * 10_000: 1, "hypothesis": ["y" * 10_000, 5.5], "reference": {"z" * 10_000: [[]]}})
    assert len(str(caught.value)) < 2000
    with pytest.raises(ConfigError, match=r"\n\.\.\. and 451 more$"):
        parse("bleu", {str(number): 1 for number in range(499)})
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    assert shown(deep) == "a list"
    assert shown(10**5000) == "a int"
    assert shown("a" * 500) == "'" + "a" * 199 + "..."
    with pytest.raises(ConfigError, match="expected text, got a list"):
        parse("bleu", {"hypothesis": "a", "reference": deep})


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"seed": 2**63}, "seed: expected a number of 64 bits"),
        ({"seed": -(10**5000)}, "seed: expected a number of 64 bits"),
        ({"run_dir": "a\0b"}, "run_dir: expected text of valid Unicode and without NUL, got 'a\\\\x00b'"),
        ({"run_dir": "\ud800"}, "run_dir: expected text of valid Unicode"),
    ],
)
def test_settings_can_be_used_and_written(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse("train", values)
