"""Ten thousand hostile requests: none is an internal error, and the server does not grow."""

import http.client
import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.servers import serving

PATHS = ["/translate", "/detect", "/score", "/alignments", "/tree", "/watch", "/translate_file"]
TEXTS = [
    "", " ", "\n" * 300, "a" * 400, "\u202e\u200f\u0301" * 99, "\ufffe\U0010ffff", "\x01\x7f\x85\u2028", "𝔸" * 100,
    "&#0;&#x110000;&lt;", "<b>" * 130, "<b>a</b>" * 49, "<p" * 150, "<!--" * 99, "<![CDATA[x", "</p></b>",
    "<a href='" * 40, "a. " * 130, "。" * 300, "<s><p>a</s></p>", "%s%n{}${x}", "\u0000", "\ud800",
]  # fmt: skip
VALUES = [None, True, -1, 0, 1, 10**30, 1e308, [], {}, [[]], {"a": {}}, "auto", "de", "en", "text", "html", "posterior"]
FIELDS = [
    "q",
    "source",
    "target",
    "format",
    "alternatives",
    "model",
    "api_key",
    "pairs",
    "prefix",
    "edits",
    "layer",
    "n_best",
    "posterior",
]
BODIES = [b"", b"{", b"null", b"[" * 90_000, b'{"q":' * 9000, b"\xff\xfe", b"0" * 60_000, b'{"q": "' + b"x" * 99_000]


def value(draw: random.Random) -> Any:
    kind = draw.random()
    if kind < 0.5:
        return draw.choice(TEXTS)
    if kind < 0.8:
        return draw.choice(VALUES)
    if kind < 0.9:
        return [value(draw) for _ in range(draw.randrange(4))]
    return {str(draw.choice([*range(3), "x"])): [draw.random() for _ in range(draw.randrange(9))]}


def request(draw: random.Random) -> tuple[str, bytes, str]:
    path = draw.choice(PATHS)
    if draw.random() < 0.1:
        return path, draw.choice(BODIES), draw.choice(["application/json", "multipart/form-data", "text/plain", "x"])
    values: dict[str, Any] = {"q": draw.choice(TEXTS), "target": "de"} if draw.random() < 0.9 else {}
    if draw.random() < 0.3:
        values["pairs"] = [[draw.choice(TEXTS), draw.choice(TEXTS)] for _ in range(draw.randrange(3))]
    for _ in range(draw.randrange(4)):
        values[draw.choice(FIELDS)] = value(draw)
    if path == "/translate_file":
        name = draw.choice(["a.txt", "a.srt", "a.html", "../../a.txt", "", "a\\.txt", "a.txt\0"])
        head = "Content-Disposition: form-data; name="
        form = f'--x\r\n{head}"target"\r\n\r\nde\r\n--x\r\n{head}"file"; filename="{name}"\r\n\r\n'.encode()
        form += draw.choice(TEXTS).encode("utf-8", "replace") + draw.choice([b"\r\n--x--\r\n", b""])
        return path, form, "multipart/form-data; boundary=x"
    return path, json.dumps(values).encode(), "application/json"


def memory(pid: int) -> int:
    """Bytes of a process."""
    found = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * int(next(line.split()[1] for line in found.splitlines() if line.startswith("Pss:")))


@pytest.mark.slow
def test_ten_thousand_hostile_requests(models: Path, tmp_path: Path) -> None:
    draw, statuses, sizes = random.Random(1), Counter[int](), list[int]()
    settings = f"checkpoint={models}/additive", "max_characters=400", "max_texts=20", "decoding.max_length=30"
    with serving(tmp_path, *settings) as (client, process):
        host = client.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=60)
        for number in range(10_000):
            path, body, kind = request(draw)
            try:
                connection.request("POST", path, body, {"content-type": kind})
                response = connection.getresponse()
                response.read()
                statuses[response.status] += 1
                assert response.status < 500, (path, body[:500], response.status)
            except (http.client.HTTPException, ConnectionError):  # a connection that the server closed
                connection.close()
            if number % 2500 == 2499:
                sizes.append(memory(process.pid or 0))
        connection.close()
        assert client.get("/health") == {"status": "ok"}
    assert statuses.keys() >= {200, 413, 422}
    assert statuses.total() > 9_000
    assert sizes[-1] < 1.1 * sizes[0], sizes


@pytest.mark.slow
def test_the_server_does_what_its_specification_says(models: Path, tmp_path: Path) -> None:
    """What a file holds can't be said in it, so files that are refused with 400 are right."""
    pytest.importorskip("schemathesis", reason="in the extra fuzz")
    with serving(tmp_path, f"checkpoint={models}/additive", "max_characters=100000") as (client, _):
        command = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{client.url}/spec",
            "--seed=1",
            "--max-examples=40",
        ]
        command += ["--phases=examples,coverage,fuzzing", "--exclude-path=/translate_file"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=900)
    assert done.returncode == 0, done.stdout[-5000:]
