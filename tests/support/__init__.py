"""Helpers of the tests, and where the files are that several tests read."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FORMAT_1 = ROOT / "tests/compatibility/format1"
"""A checkpoint of the first format that landed."""
