"""A training that is killed again and again ends with the bits of one that was left alone."""

import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).resolve().parents[2] / "scripts/soak.py"


def test_kills_leave_no_trace() -> None:
    """Mid-epoch, within an update or a save, with processes that share the work where they can be forked."""
    more = ["training.processes=2"] if sys.platform.startswith("linux") else []
    more += ["training.validate_every=8"]
    command = [sys.executable, str(SOAK), "--kills", "3", "--updates", "24", "--seed", "10", *more]
    said = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "3 kills" in said.stdout
    assert "weights, state and metrics identical" in said.stdout
