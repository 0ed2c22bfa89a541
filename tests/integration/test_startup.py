"""What a command imports, which is most of the time until its first line."""

import os
import subprocess
import sys
from pathlib import Path

import seq2seq

CHECKPOINT = Path(__file__).parent.parent / "compatibility/format1"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(seq2seq.__file__).parent.parent)}
LATE = {
    "huggingface_hub",
    "matplotlib",
    "pandas",
    "sacrebleu",
    "sympy",
    "tensorboard",
    "torch._dynamo",
    "torch._inductor",
}
"""What translating never needs."""


def run(code: str, stdin: str = "") -> list[str]:
    """Lines that the code prints in a process of its own, with `main`, `gc` and `sys` at hand."""
    code = f"import gc, sys\nfrom seq2seq.cli.main import main\n{code}"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, input=stdin, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_help_needs_nothing_but_python() -> None:
    code = "main(['--help'])\nprint(*{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    *text, modules = run(code)
    assert "usage: seq2seq COMMAND" in text[0]
    assert {name for name in modules.split() if not name.startswith("_")} == {"seq2seq"}


def test_translating_imports_no_compiler_plots_or_scores() -> None:
    code = f"main(['translate', 'checkpoint={CHECKPOINT}'])\nprint(*sys.modules)\nprint(gc.isenabled())"
    line, modules, collecting = run(code, "my friend hears the old house .\n")
    assert line == "mein Freund hört das alte Haus ."
    assert not LATE & set(modules.split())
    assert collecting == "True"


def test_what_a_command_leaves_is_collected_though_others_follow() -> None:
    """Only what was imported is kept from the collector: a process may well run many commands."""
    bleu = "main(['bleu', 'hypothesis=nothing', 'reference=nothing'])"
    frozen = "print(gc.get_freeze_count() > 0, gc.get_freeze_count() <= kept)"
    (line,) = run(f"{bleu}\nkept = gc.get_freeze_count()\n{bleu}\n{frozen}")
    assert line == "True True"
