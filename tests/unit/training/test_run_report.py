"""The page about a run: its numbers, its size, and that nothing in it can break out or fail a training."""

import errno
import json
import logging
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2seq.inference.translation import Translation
from seq2seq.training.run_report import Curves, RunReport

HOSTILE = "</script><script>alert(1)</script><!-- {{ title }} \"'& \u2028 \u202eabc السلام 猫"


def training(update: int, **more: Any) -> dict[str, Any]:
    values = {"loss": 3.0, "nll": 2.0, "gradient_norm": 1.0, "learning_rate": 1e-3, "tokens_per_second": 100.0}
    return {"event": "train", "update": update, **values, "epoch": update / 100, **more}


def validation(update: int, *, best: bool = True, event: str = "valid", **more: Any) -> dict[str, Any]:
    scores = {"loss": 1.5, "bleu": 20.0, "chrf": 40.0, **more}
    return {"event": event, "update": update, **scores, "best": best, "epoch": update / 100}


def report(run_dir: Path, title: str = "run", languages: tuple[str, str] = ("en", "zh_TW")) -> RunReport:
    return RunReport(run_dir, languages, "bleu", title, lambda: {"seed": 1, "name": title})


def filled(run_dir: Path, text: str = "text") -> RunReport:
    made = report(run_dir, text)
    for row in (training(10), training(20), validation(20)):
        made.curves.add(row)
    sample = Translation(text, text, -1.0, -1.0, [], [], [], None)
    made.validated(20, 0.2, [([text, "▁b"], [text], np.array([[0.25, 0.75]]))], [(sample, text)])
    return made


class Elements(HTMLParser):
    """Start tags with their attributes, and the text of the page without its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("script", "style"):
            self.text += data


def data(page: str) -> dict[str, Any]:
    """What the page's script reads."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    read: dict[str, Any] = json.loads(found)
    return read


def test_the_loss_of_training_is_comparable_to_that_of_validations() -> None:
    curves = Curves()
    curves.add(training(10))
    older = training(20)
    del older["nll"]
    curves.add(older)
    assert [point["loss"] for point in curves.train] == [2.0, 3.0]


@pytest.mark.parametrize("lines", [999, 1000, 1003, 5001])
def test_points_are_means_of_a_bounded_number(lines: int) -> None:
    curves = Curves()
    for update in range(1, lines + 1):
        curves.add(training(update, nll=float(update), gradient_norm=None))
    train, each = curves.train, curves.lines_per_point
    assert each == (1 if lines < 1000 else 2 if lines < 2000 else 8)
    assert len(train) == -(-lines // each) <= 1001
    assert train[0]["update"] == each
    assert train[0]["loss"] == pytest.approx((each + 1) / 2)
    assert (train[-1]["update"], train[-1]["epoch"]) == (lines, lines / 100)
    assert all(point["gradient_norm"] is None for point in train)


def lines_of(rows: list[Any]) -> str:
    return "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)


def test_a_file_gives_what_its_rows_gave(tmp_path: Path) -> None:
    rows = [row for update in range(1, 2100) for row in (training(update, nll=float(update)), validation(update))]
    written, read = Curves(), Curves()
    for row in rows:
        written.add(row)
    (tmp_path / "metrics.jsonl").write_text(lines_of(rows))
    read.read(tmp_path / "metrics.jsonl")
    assert (read.train, read.valid, read.best) == (written.train, written.valid, written.best)


def test_what_is_no_line_of_metrics_is_left_out(tmp_path: Path) -> None:
    odd = ["[]\n", "null\n", "{\n", '{"event": 3}\n', training(3, nll="x"), training(3, epoch=None), "[" * 5000 + "\n"]
    others = [{"event": "other", "update": 1, "epoch": 1}, {"event": "train"}]
    (tmp_path / "metrics.jsonl").write_text(lines_of([training(1), *odd, *others, validation(4), '{"event": "tra']))
    curves = Curves()
    curves.read(tmp_path / "metrics.jsonl")
    assert [point["update"] for point in curves.train] == [1]
    assert [point["update"] for point in curves.valid[""]] == [4]
    (tmp_path / "metrics.jsonl").write_bytes(b"\xff\n")
    curves.read(tmp_path / "metrics.jsonl")


def test_the_best_is_the_last_that_was_the_best_so_far(tmp_path: Path) -> None:
    made = report(tmp_path)
    assert made.best() == ""
    for row in (validation(5, bleu=1.0), validation(10), validation(15, best=False, bleu=3.0)):
        made.curves.add(row)
    made.curves.add(validation(20, event="valid/other", bleu=99.0))
    assert made.best() == "BLEU 20.00, chrF 40.00, loss 1.500 at update 10 (epoch 0.10)"


def test_the_table_has_the_numbers_of_training_before_each_validation(tmp_path: Path) -> None:
    made = report(tmp_path)
    rows = [validation(5, bleu=1.25), training(10, nll=0.125), training(20, nll=0.75), validation(20, bleu=2.5)]
    for row in (*rows, validation(20, event="valid/other", bleu=98.5)):
        made.curves.add(row)
    page = made.page(20, 20, 1.0, "all is said")
    cells = [re.sub("<[^>]*>", " ", row).split() for row in re.findall("<tr.*?</tr>", page, re.DOTALL)[1:]]
    assert [row[:4] for row in cells] == [
        ["first", "5", "0.05", "1.500"],
        ["first", "20", "0.20", "0.750"],
        ["other", "20", "0.20", "0.750"],
    ]
    assert [("best" in row, "98.50" in row) for row in cells] == [(False, False), (True, False), (False, True)]
    assert "finished: all is said" in page
    assert "update 20 of at most 30" in made.page(20, 30, 1.0, "")
    assert list(data(page)["valid"]) == ["", "other"]


def test_what_the_page_draws(tmp_path: Path) -> None:
    found = data(filled(tmp_path).page(20, 20, 1.0, ""))
    assert found["train"]["loss"] == [2.0, 2.0]
    assert found["valid"][""] == {"update": [20], "epoch": [0.2], "loss": [1.5], "bleu": [20.0], "chrf": [40.0]}
    assert found["attention"]["weights"] == [["QAv_"]]  # 1024 and 3071 of 4095
    assert found["attention"]["updates"] == [20]
    assert found["languages"] == ["en", "zh-TW"]


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    harmless, made = (Elements(filled(tmp_path, text).page(20, 20, 1.0, "")) for text in ("text", HOSTILE))
    assert [tag for tag, _ in made.tags] == [tag for tag, _ in harmless.tags]
    assert [attributes for _, attributes in made.tags] == [attributes for _, attributes in harmless.tags]
    shown = "".join(c if c.isprintable() else "·" for c in HOSTILE)
    assert made.text.count(shown) == harmless.text.count("text") - harmless.text.count("texts") > 4
    assert data(filled(tmp_path, HOSTILE).page(1, 1, 1.0, ""))["attention"]["rows"] == [[shown]]


def test_nothing_is_fetched_and_no_text_becomes_elements(tmp_path: Path) -> None:
    page = filled(tmp_path).page(20, 20, 1.0, "")
    spaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}  # names, not addresses
    assert set(re.findall(r"[a-z]+://[^\"' ;]+", page)) == spaces
    assert not re.search(r"url\(|@import|\bsrc=|<link|<iframe|<object|<img|\bfetch\(|\bimport\b|XMLHttp", page)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", page)
    policy = next(a["content"] for _, a in Elements(page).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none';")


def test_without_attention_there_is_no_slider(tmp_path: Path) -> None:
    made = filled(tmp_path)
    assert 'type="range"' in made.page(20, 20, 1.0, "")
    made.validated(30, 0.3, [], [])
    page = made.page(30, 30, 1.0, "")
    assert 'type="range"' not in page
    assert "latest validation" not in page


def test_a_resume_forgets_what_came_after_its_state(tmp_path: Path) -> None:
    made = filled(tmp_path)
    made.validated(30, 0.3, [(["a"], ["b"], np.array([[0.5]]))], [])
    made.validated(40, 0.4, [(["a"], ["b"], np.array([[0.5]]))], [])
    made.write(40, 40, 1.0, "")
    (tmp_path / "metrics.jsonl").write_text(lines_of([training(30), validation(30)]))
    again = report(tmp_path)
    again.resume(35)
    found = data(again.page(35, 40, 1.0, ""))
    assert found["attention"]["updates"] == found["train"]["update"] == found["valid"][""]["update"] == [30]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        yield


def test_a_full_disk_is_told_once_and_fails_nothing(
    tmp_path: Path, full_disk: None, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "report.html").write_text("before")
    made = filled(tmp_path)
    with caplog.at_level(logging.WARNING):
        made.write(20, 20, 1.0, "")
        made.write(20, 20, 1.0, "")
    assert caplog.messages == [f"{tmp_path}/report.html: can't be written (No space left on device)"]
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "before"


def test_the_summary_tells_what_there_is(tmp_path: Path) -> None:
    made = report(tmp_path)
    assert made.summary(0.5) == ["time: 30 min"]
    rows = [training(10, tokens=1000), validation(10)]
    (tmp_path / "metrics.jsonl").write_text(lines_of(rows))
    made.resume(10)
    made.write(10, 10, 0.5, "")
    assert made.summary(0.5) == [
        "best validation: BLEU 20.00, chrF 40.00, loss 1.500 at update 10 (epoch 0.10)",
        "time: 30 min, 100 tokens/s without validations",
        f"report: {tmp_path}/report.html",
    ]
