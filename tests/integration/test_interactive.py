"""The command `interactive`, on a pseudo-terminal and in a pipe."""

import os
import re
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import FORMAT_1
from support.checkpoints import checkpoint

from seq2seq.checkpoint import save
from seq2seq.cli import interactive
from seq2seq.cli.keyboard import history_file
from seq2seq.cli.main import main
from seq2seq.inference.translator import Translator

fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))

SENTENCE, TRANSLATION = "a dog likes a tree .", "ein Hund mag einen Baum ."
NUMBERED = re.compile(TRANSLATION.replace(" ", "[⁰¹²³⁴-⁹]+ "))
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
END, INTERRUPT, UP, QUOTE, ESCAPE = "\x04", "\x03", "\x1b[A", "\x16", "\x1b"
PROMPT = "en-de> "
MODEL = f"checkpoint={FORMAT_1}"


class Terminal:
    """The command in a process of its own, on a terminal of 80 columns where a test types."""

    def __init__(self, *arguments: str, output: Path | None = None) -> None:
        self.shown, self._read = "", 0
        self._process, self._master = pty.fork()
        if self._process == 0:
            code = 70
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
                if output is not None:
                    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT, 0o600), 1)
                sys.stdin, sys.stdout, sys.stderr = map(os.fdopen, range(3), "rww")
                code = main(["interactive", *arguments])
                sys.stdout.flush()
            finally:
                os._exit(code)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.wait(PROMPT)

    def wait(self, text: str) -> str:
        """Wait until this is shown, and return what is new up to its end."""
        limit = time.monotonic() + 60
        while (place := self.shown.find(text, self._read)) < 0:
            ready, _, _ = select.select([self._master], [], [], max(limit - time.monotonic(), 0))
            assert ready, f"{text!r} is not in {self.shown[self._read :]!r}"
            assert self._receive(), f"the command ended: {self.shown!r}"
        begin, self._read = self._read, place + len(text)
        return self.shown[begin : self._read]

    def type(self, text: str) -> str:
        """Type keys and Enter, and return what is shown up to the next prompt."""
        self.press(f"{text}\r")
        self.wait("\n")  # the echo ends
        return self.wait(PROMPT)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode("utf-8", "surrogateescape"))

    def leave(self, keys: str = END) -> int:
        """Press keys that end the command, and return its exit code."""
        self.press(keys)
        while self._receive():
            pass
        os.close(self._master)
        return os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])

    def _receive(self) -> bool:
        try:
            block = os.read(self._master, 1 << 16)
        except OSError:  # the other end is closed
            return False
        self.shown += block.decode(errors="replace")
        return bool(block)


Piped = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TERM": "xterm-256color", "XDG_STATE_HOME": str(tmp_path), "INPUTRC": os.devnull}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Piped:
    """Run the command with this input, and return its exit code and what it writes to both streams."""

    def run(text: bytes, *arguments: str) -> tuple[int, str, str]:
        reading, writing = os.pipe()
        threading.Thread(target=lambda: (os.write(writing, text), os.close(writing))).start()
        with open(reading) as stdin, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", stdin)
            code = main(["interactive", *(arguments or [MODEL])])
        return code, *capfd.readouterr()

    return run


def plain(shown: str) -> str:
    return COLOUR.sub("", shown).replace("\r", "")


def test_words_have_the_number_and_the_colour_of_their_source_word() -> None:
    terminal = Terminal(MODEL)
    shown = terminal.type(SENTENCE)
    source, target = plain(shown).splitlines()[:2]
    assert source == "a¹ dog² likes³ a⁴ tree⁵ .⁶"
    assert NUMBERED.match(target)
    colours = dict(re.findall(r"\x1b\[38;5;([0-9]+)m\w+([⁰¹²³⁴-⁹]+)", shown.splitlines()[0]))
    assert len(colours) == 5
    attended = re.findall(r"\x1b\[38;5;([0-9]+)m\w+([⁰¹²³⁴-⁹]+)", shown.splitlines()[1])
    assert len(attended) == 5
    assert all(colours[colour] == number for colour, number in attended)
    assert terminal.leave() == 0


def test_greedy_search_shows_each_token() -> None:
    terminal = Terminal(MODEL, "decoding.beam_size=1")
    drawn = plain(terminal.type(SENTENCE)).split("\x1b[K")
    assert len(drawn) > len(TRANSLATION.split()) + 2  # steps with EOS, and the end
    words = [len(text.split()) for text in drawn[1:-2]]
    assert words == sorted(words)
    assert words[0] == 1
    assert NUMBERED.match(drawn[-1])
    *steps, _ = plain(terminal.type(f":force {TRANSLATION} {TRANSLATION} {TRANSLATION}")).split("\x1b[K")[1:]
    assert max(map(len, steps)) in range(60, 80)  # lines that are drawn again never wrap
    assert "ein Hund" in COLOUR.sub("", re.sub("[⁰¹²³⁴-⁹]", "", terminal.type(":force ein Hund")))
    assert terminal.leave(":quit\r") == 0


def test_graphs_are_not_left_for_torch_to_show_each_token() -> None:
    terminal = Terminal(MODEL, "decoding.beam_size=1", "decoding.engine=onnx")
    assert "decoding.engine=onnx" in terminal.type(SENTENCE)  # of which this model has none
    assert "graphs return the attention of one layer" in terminal.type(":layer 1")
    assert terminal.leave() == 0


def test_commands_act_on_the_last_sentence() -> None:
    terminal = Terminal(MODEL)
    assert "There is no finished translation." in terminal.type(":attention")
    assert "There is no sentence yet." in terminal.type(":alternatives 2")
    terminal.type(SENTENCE)
    heatmap = terminal.type(":attention")
    assert "48;5;" in heatmap
    assert re.search(r"^</s> \|[ 0-9]*[1-9][ 0-9]*\|$", plain(heatmap), re.MULTILINE)
    ranked = plain(terminal.type(":alt 2"))
    scores = [float(score) for score in re.findall(r"^ [12]  (-[0-9.]+)  \w", ranked, re.MULTILINE)]
    assert len(scores) == 2
    assert scores[0] > scores[1]
    assert re.search("^mein[⁰¹²³⁴-⁹]", plain(terminal.type(":force mein")), re.MULTILINE)
    assert re.search("^ 1 .* mein[⁰¹²³⁴-⁹]", plain(terminal.type(":alternatives 2")), re.MULTILINE)
    assert "\x1b[K" in terminal.type(":beam 1")  # greedy from now on
    assert "\x1b[K" in terminal.type(SENTENCE)
    assert NUMBERED.search(plain(terminal.type(":layer 1")))
    assert ":alternatives N" in terminal.type(":help")
    assert terminal.leave() == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (":beam x", ":beam x: expected a number from 1"),
        (":beam 0", ":beam 0: expected a number from 1"),
        (":beam 999999", "decoding.beam_size=999999"),
        (":alternatives", ":alternatives : expected a number from 1"),
        (":layer 7", "layer=7: number of decoder layers that attend"),
        (":atention", ":atention: no such command. Did you mean 'attention'?"),
        (":a", ":a: no such command."),
        ("\udcff", "stdin:1: not UTF-8"),
        ("x " * 17000, "line 1: "),
    ],
)
def test_a_mistake_is_a_message(pipe: Piped, line: str, message: str) -> None:
    code, output, error = pipe(f"{line}\n{SENTENCE}\n".encode(errors="surrogateescape"))
    assert code == 0
    assert message in error
    blank = "" if line.startswith(":") else "\n"
    assert output == f"{blank}{TRANSLATION}\n"


def test_a_pipe_gives_a_plain_line_for_each_sentence(pipe: Piped, tmp_path: Path) -> None:
    text = (
        f"{SENTENCE}\n\n:attention\nbad \0\n:-)\n".encode()
        + b"x" * ((1 << 20) + 1)
        + f"\n:beam 1\n{SENTENCE}\n:att".encode()
    )
    code, output, error = pipe(text)
    assert code == 0
    assert "\x1b" not in output + error
    lines = output.splitlines()
    assert lines[:4] == [TRANSLATION, "", "(no attention)", ""]
    assert lines[5:8] == ["", lines[4], TRANSLATION]  # :beam repeats a sentence
    assert "<" in lines[8]  # the attention
    assert [line.partition(";")[0] for line in error.splitlines()] == [
        "stdin:4: a NUL byte",
        "stdin:6: a line of more than 1,048,576 bytes",
    ]
    assert not list(tmp_path.iterdir())  # no history


def test_an_unfinished_translation_has_no_attention(pipe: Piped) -> None:
    code, output, error = pipe(f"{SENTENCE}\n{'x ' * 17000}\n:attention\n".encode())
    assert (code, output) == (0, f"{TRANSLATION}\n\n")
    assert error.endswith("There is no finished translation. Type a sentence first.\n")


def test_a_model_without_attention(tmp_path: Path, pipe: Piped) -> None:
    save(tmp_path / "fixed", checkpoint({"placement": "none"}), "card")
    arguments = [f"checkpoint={tmp_path}/fixed", "decoding.max_length=5"]
    code, output, error = pipe(f"{SENTENCE}\n:attention\n:layer 1\n".encode(), *arguments)
    assert (code, output.count("\n")) == (0, 1)
    assert error.count("placement=none has no attention.") == 2
    terminal = Terminal(*arguments, "decoding.beam_size=1")
    shown = terminal.type(SENTENCE)
    assert "\x1b[K" in shown
    assert not re.search("[⁰¹²³⁴-⁹]", shown)
    assert terminal.leave() == 0


def test_a_layer_has_an_attention_of_its_own(tmp_path: Path) -> None:
    change = {"decoder": "transformer", "decoder_layers": 2, "placement": "between"}
    save(tmp_path / "layers", checkpoint(change), "card")
    terminal = Terminal(f"checkpoint={tmp_path}/layers", "decoding.max_length=5")
    terminal.type(SENTENCE)
    drawn = []
    for layer in (1, 2, 1):
        terminal.type(f":layer {layer}")
        drawn.append(terminal.type(":attention"))
    assert drawn[0] == drawn[2] != drawn[1]
    assert terminal.leave() == 0


def test_the_history_stands_where_the_user_keeps_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert history_file() == Path("/state/seq2seq/history")
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        assert history_file() == Path("/home/me/.local/state/seq2seq/history")


def test_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal(MODEL, "decoding.beam_size=1")
    assert NUMBERED.search(terminal.type(SENTENCE))
    assert re.search(r"^ .*\|[ ░▒▓█]*░░[ ░▒▓█]*\|$", plain(terminal.type(":attention")), re.MULTILINE)
    assert terminal.leave() == 0
    assert not COLOUR.search(terminal.shown)


def test_an_ensemble_on_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal(f"checkpoint=[{FORMAT_1},{FORMAT_1}]", "decoding.beam_size=1")
    assert NUMBERED.search(terminal.type(SENTENCE))
    assert terminal.leave() == 0
    assert "\x1b" not in terminal.shown


def test_text_goes_to_stdout_and_the_rest_to_stderr(tmp_path: Path) -> None:
    terminal = Terminal(MODEL, "decoding.beam_size=1", output=tmp_path / "output")
    terminal.type(SENTENCE)
    assert "no such command" in terminal.type(":x")
    assert terminal.leave() == 0
    assert (tmp_path / "output").read_text() == f"{TRANSLATION}\n"


def _sleep(*given: object, **named: object) -> Any:
    os.write(1, b"sleeping")
    for _ in range(600):  # a signal just before a sleep is seen after it
        time.sleep(0.1)


def test_interrupts_abandon_a_line_and_a_translation(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(MODEL)
    terminal.press("half a li")
    terminal.wait("half a li")
    time.sleep(0.2)  # Python misses a signal between the echo and its wait for the next key
    terminal.press(INTERRUPT)
    terminal.wait(PROMPT)
    assert plain(terminal.type(SENTENCE)).startswith("a¹ dog²")
    assert terminal.leave() == 0
    for beam_size, place in (1, (interactive, "fit_end")), (5, (Translator, "translate_group")):
        with monkeypatch.context() as patch:
            patch.setattr(*place, _sleep)
            terminal = Terminal(MODEL, f"decoding.beam_size={beam_size}")
            terminal.press(f"{SENTENCE}\r")
            terminal.wait("sleeping")
            terminal.press(INTERRUPT)
            terminal.wait(PROMPT)
            assert "There is no finished translation." in terminal.type(":attention")
            assert terminal.leave() == 0


def test_an_interrupt_ends_a_pipe(pipe: Piped, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Translator, "translate_group", interrupt)
    assert pipe(b"a\nb\n")[:2] == (130, "")


def test_the_history_is_kept(tmp_path: Path) -> None:
    pytest.importorskip("readline")
    file = tmp_path / "seq2seq/history"
    file.parent.mkdir()
    file.write_text("".join(f":help {number}\n" for number in range(2000)))
    terminal = Terminal(MODEL)
    terminal.type(SENTENCE)
    terminal.type(f" {SENTENCE}")
    terminal.type(f" {SENTENCE}")
    assert file.stat().st_mode & 0o777 == 0o600  # before the command ends
    terminal.type("x" * 2001)
    assert terminal.leave() == 0
    lines = file.read_text().splitlines()
    assert len(lines) == 1000
    assert lines[-3:] == [":help 1999", SENTENCE, f" {SENTENCE}"]
    terminal = Terminal(MODEL)
    assert NUMBERED.search(plain(terminal.type(UP + UP)))
    assert ":alternatives N" in terminal.type(f"{UP * 4}")
    terminal.press(":att\t")
    terminal.wait(":attention ")
    assert terminal.leave("\r" + END) == 0


@pytest.mark.parametrize("obstacle", ["directory", "pipe", "binary", "no readline"])
def test_no_history_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str) -> None:
    file = tmp_path / "seq2seq/history"
    file.parent.mkdir()
    if obstacle == "directory":
        file.mkdir(mode=0o755)
    elif obstacle == "pipe":
        os.mkfifo(file)
    elif obstacle == "binary":
        file.write_bytes(bytes(range(256)) * 9)
        file.chmod(0o644)
    else:
        monkeypatch.setitem(sys.modules, "readline", None)
    terminal = Terminal(MODEL)
    assert NUMBERED.search(plain(terminal.type(SENTENCE)))
    assert NUMBERED.search(plain(terminal.type(f" {SENTENCE}")))
    assert terminal.leave() == 0
    modes = {"directory": 0o755, "binary": 0o600}
    assert obstacle not in modes or file.stat().st_mode & 0o777 == modes[obstacle]


def test_pasted_lines_are_translated_one_by_one() -> None:
    pytest.importorskip("readline")
    terminal = Terminal(MODEL)
    terminal.press(f"\x1b[200~{SENTENCE}\n{SENTENCE}\x1b[201~\r")
    while len(NUMBERED.findall(plain(terminal.shown))) < 2:
        terminal.wait("\n")
    terminal.wait(PROMPT)
    assert terminal.leave() == 0


@pytest.mark.parametrize("text", ["{}]0;title\x07", "a {}[2J b", ":beam {}[2J"])
def test_what_is_typed_never_acts_on_the_terminal(text: str) -> None:
    before, after = text.split("{}")
    hostile = f"{before}{QUOTE}{ESCAPE}{after.replace(chr(7), QUOTE + chr(7))}"
    pytest.importorskip("readline")
    for beam_size in (1, 5):
        terminal = Terminal(MODEL, f"decoding.beam_size={beam_size}")
        assert "·" in terminal.type(hostile)
        assert terminal.leave() == 0
        assert not re.search(r"\x1b\]|\x07|\x1b\[2J", terminal.shown)


@pytest.mark.parametrize("text", ["ein\x1b]0;title\x07 Hund", "a\x9b2J"])
def test_translations_never_act_on_the_terminal(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    translate = Translator.translate_group

    def hostile(*given: Any, **named: Any) -> Any:
        ((found, *_),) = translate(*given, **named)
        object.__setattr__(found, "text", text)
        object.__setattr__(found, "attention", None)
        return [[found]]

    monkeypatch.setattr(Translator, "translate_group", hostile)
    terminal = Terminal(MODEL)
    assert "·" in terminal.type(SENTENCE)
    assert terminal.leave() == 0
    assert not re.search(r"\x1b\]|\x07|\x9b", terminal.shown)
