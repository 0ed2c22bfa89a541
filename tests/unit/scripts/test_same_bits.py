"""scripts/same_bits.py: which weights have no equal on the other side."""

import runpy

import pytest
from support import ROOT

SCRIPT = ROOT / "scripts/same_bits.py"


@pytest.mark.parametrize(
    ("this", "other", "names"),
    [
        ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}, []),
        ({"a": "1", "b": "2"}, {"c": "1", "d": "2"}, []),  # renamed
        ({"a": "1", "b": "2"}, {"a": "1", "b": "3"}, ["b"]),
        ({"a": "1", "b": "2"}, {"a": "1", "c": "3"}, ["this:b", "other:c"]),
        ({"a": "1"}, {"a": "1", "b": "1"}, ["other:a", "other:b"]),  # one of the two
    ],
)
def test_weights_are_paired_by_their_bits(this: dict[str, str], other: dict[str, str], names: list[str]) -> None:
    assert runpy.run_path(str(SCRIPT))["differing"](this, other) == names
