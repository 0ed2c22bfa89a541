"""The server as its clients see it: a process, real connections, a small trained model."""

import http.client
import json
import os
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from libretranslatepy import LibreTranslateAPI
from support.servers import JSON, Client, serving

import seq2seq
from seq2seq.cli.main import main

LINES = [
    "the cat sees a tree .",
    "my friend hears the old house .",
    "a dog sees my friend .",
    "the old cat hears a dog .",
]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serve")


@pytest.fixture(scope="module")
def client(models: Path, work: Path) -> Iterator[Client]:
    both = f"ensembles={{both: [{models}/additive, {models}/additive]}}"
    with serving(work, f"checkpoint=[{models}/additive,{models}/fixed]", both, "max_characters=400") as (made, _):
        yield made


@pytest.fixture(scope="module")
def translator(models: Path) -> seq2seq.Translator:
    return seq2seq.load(models / "additive")


def expected(translator: seq2seq.Translator, lines: list[str]) -> list[str]:
    return [found.text for found in translator.translate(lines)]


def test_the_client_of_libretranslate_works_unchanged(client: Client, translator: seq2seq.Translator) -> None:
    api = LibreTranslateAPI(client.url)
    assert api.translate(LINES[0], "en", "de") == expected(translator, LINES[:1])[0]
    assert api.languages() == [{"code": "en", "name": "English", "targets": ["de"]}]
    assert api.detect("the cat") == [{"language": "en", "confidence": 100.0}]


def test_null_is_taken_for_what_is_left_out(client: Client, translator: seq2seq.Translator) -> None:
    status, answer = client.ask("/translate", api_key=None, q=LINES[0], source=None, target="de", format=None)
    assert (status, answer["translatedText"]) == (200, expected(translator, LINES[:1])[0])


def test_lists_lines_and_alternatives(client: Client, translator: seq2seq.Translator) -> None:
    _, answer = client.ask("/translate", q=LINES, target="de")
    assert answer["translatedText"] == expected(translator, LINES)
    assert answer["detectedLanguage"] == [{"language": "en", "confidence": 100.0}] * 4
    _, answer = client.ask("/translate", q=f" {LINES[0]}\n\n{LINES[1]}\n", source="en", target="de")
    one, two = expected(translator, LINES[:2])
    assert answer == {"translatedText": f" {one}\n\n{two}\n"}
    _, answer = client.ask("/translate", q=LINES[0], source="en", target="de", alternatives=2)
    best, *others = translator.translate(LINES[0], n_best=3)
    assert answer == {"translatedText": best.text, "alternatives": [other.text for other in others]}
    assert client.ask("/translate", q="", source="en", target="de") == (200, {"translatedText": ""})
    assert client.ask("/translate", q=[], source="en", target="de") == (200, {"translatedText": []})


def test_html_keeps_its_tags(client: Client) -> None:
    text = '<p>the <b>cat</b> sees a <a href="x">tree</a> .</p><hr><ul><li>a dog sees my friend .</li></ul>'
    _, answer = client.ask("/translate", q=text, source="en", target="de", format="html")
    found = answer["translatedText"]
    assert re.sub("<[^>]*>", "", text) != re.sub("<[^>]*>", "", found)
    assert sorted(re.findall("<[^>]*>", text)) == sorted(re.findall("<[^>]*>", found))
    status, answer = client.ask("/translate", q=text, source="en", target="de", format="html", model="fixed")
    assert status == 409
    assert "no attention to place tags by" in answer["error"]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.txt", f"{LINES[0]}\n\n", "{0}\n\n"),
        ("a.SRT", f"1\n00:00:01,000 --> 00:00:02,000\n{LINES[0]}\n", "1\n00:00:01,000 --> 00:00:02,000\n{0}\n"),
        ("a.html", f"<p>{LINES[0]}</p>", "<p>{0}</p>"),
    ],
)
def test_files(client: Client, translator: seq2seq.Translator, name: str, content: str, text: str) -> None:
    status, answer = upload(client, name, content.encode())
    assert status == 200, answer
    _, body, headers = client.raw(urllib.parse.urlparse(answer["translatedFileUrl"]).path)
    assert body.decode() == text.format(*expected(translator, LINES[:1]))
    assert headers["content-disposition"].startswith("attachment")


def test_files_that_can_t_be_read(client: Client) -> None:
    assert upload(client, "a.pdf", b"x")[0] == 400
    assert upload(client, "a.txt", b"\xff")[0] == 400
    assert upload(client, "a.srt", b"x")[0] == 409
    assert client.raw("/download_file/..%2f..%2fetc%2fpasswd")[0] == 404
    assert client.raw("/download_file/nothing.txt")[0] == 404


def upload(client: Client, name: str, content: bytes) -> tuple[int, Any]:
    form = b"".join(
        f'--x\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in (("source", "en"), ("target", "de"))
    )
    form += f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode() + content
    status, body, _ = client.raw(
        "/translate_file", form + b"\r\n--x--\r\n", {"content-type": "multipart/form-data; boundary=x"}
    )
    return status, json.loads(body)


def test_alignments_and_scores_are_those_of_the_library(client: Client, translator: seq2seq.Translator) -> None:
    pair = (LINES[0], expected(translator, LINES[:1])[0])
    _, scored = client.ask("/score", pairs=[pair], target="de")
    assert scored[0]["score"] == pytest.approx(translator.score(*pair).score, rel=1e-5)
    for attention in ("prior", "posterior"):
        _, aligned = client.ask("/alignments", pairs=[pair], target="de", attention=attention)
        assert [tuple(link) for link in aligned[0]["links"]] == translator.align(*pair, attention=attention).links


def test_a_translation_is_watched(client: Client, translator: seq2seq.Translator) -> None:
    events = client.events(q=LINES[1], posterior=True)
    best = translator.translate(LINES[1], beam_size=1)
    steps = [values for kind, values in events if kind == "step"]
    assert [kind for kind, _ in events] == ["source", *["step"] * len(best.tokens), "end", "posterior"]
    assert [step["token"] for step in steps] == best.tokens
    assert events[0][1]["tokens"] == best.source_tokens
    assert events[-2][1]["text"] == best.text
    assert len(events[-1][1]["weights"]) == len(best.tokens)
    edited = client.events(
        q=LINES[1], prefix=best.tokens[:2], edits={"2": [1.0, *[0.0] * (len(best.source_tokens) - 1)]}
    )
    assert [values["token"] for kind, values in edited if kind == "step"][:2] == best.tokens[:2]
    assert [values["weights"][0][0] for kind, values in edited if kind == "step"][2] == 1.0
    assert client.events(q=LINES[1], edits={"0": [1.0]})[-1][0] == "error"
    assert [kind for kind, _ in client.events(q="")] == ["source", "end"]


def test_a_tree_of_translations(client: Client, translator: seq2seq.Translator) -> None:
    _, found = client.ask("/tree", q=LINES[0], target="de", n_best=3)
    assert [each["text"] for each in found] == [each.text for each in translator.translate(LINES[0], n_best=3)]
    _, forced = client.ask("/tree", q=LINES[0], target="de", n_best=2, prefix=found[1]["tokens"][:1])
    assert all(each["tokens"][0] == found[1]["tokens"][0] for each in forced)
    assert client.ask("/tree", q=LINES[0], target="de", prefix=["no such piece"])[0] == 409


def test_models_and_what_they_can(client: Client) -> None:
    facts = {each["name"]: each for each in client.get("/models")}
    assert list(facts) == ["additive", "fixed", "both"]
    assert [facts[name]["attends"] for name in facts] == [True, False, True]
    assert [facts[name]["editable"] for name in facts] == [True, False, False]
    assert facts["additive"]["equations"]["score"] == "additive"


@pytest.mark.parametrize(
    ("path", "values", "status", "message"),
    [
        ("/translate", {"q": "x", "target": "fr"}, 400, "fr is not supported; target languages: de"),
        ("/translate", {"q": "x", "source": "fr", "target": "de"}, 400, "fr is not supported; languages into de: en"),
        ("/translate", {"q": "x", "target": "de", "model": "y"}, 400, "no such model; there are additive, fixed, both"),
        ("/translate", {"target": "de"}, 422, "q: Field required"),
        ("/translate", {"q": "\0", "target": "de"}, 422, "without NUL"),
        ("/translate", {"q": "\ud800", "target": "de"}, 422, ""),
        ("/translate", {"q": "x" * 401, "target": "de"}, 413, "401 characters; at most 400"),
        ("/translate", {"q": ["x"] * 101, "target": "de"}, 413, "101 texts; at most 100"),
        ("/watch", {"q": "x", "target": "de", "layer": 2}, 409, "layer=2"),
        ("/suggest", {"q": "x"}, 403, "suggestions are not taken"),
        ("/alignments", {"pairs": [["x" * 99, "y"]] * 5, "target": "de"}, 413, "500 characters"),
    ],
)
def test_mistakes_are_told(client: Client, path: str, values: dict[str, Any], status: int, message: str) -> None:
    found, answer = client.ask(path, **values)
    assert (found, list(answer)) == (status, ["error"])
    assert message in answer["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 50_000, b"\xff", b'{"q":' * 1000, b"null", b"[]", b'"x"', b"1e999"])
def test_what_is_no_request(client: Client, body: bytes) -> None:
    assert client.raw("/translate", body, JSON)[0] == 422


@pytest.mark.parametrize("chunked", [False, True])
def test_who_sends_a_large_body_to_its_end_reads_the_refusal(client: Client, chunked: bool) -> None:
    """The body is larger than what sockets hold, so it is still on its way when the answer is known."""
    pieces = [b"x" * 1_000_000] * 30
    headers = {**JSON, "origin": "http://example.org"} | ({} if chunked else {"content-length": "30000000"})
    connection = http.client.HTTPConnection(client.url.removeprefix("http://"), timeout=30)
    connection.request("POST", "/translate", iter(pieces), headers, encode_chunked=chunked)
    answer = connection.getresponse()
    assert (answer.status, b"more than" in answer.read()) == (413, True)
    assert answer.headers["access-control-allow-origin"] == "*"
    connection.close()


def test_health_metrics_settings_and_the_page(client: Client) -> None:
    assert client.get("/health") == {"status": "ok"}
    assert client.get("/frontend/settings")["charLimit"] == 400
    assert b'seq2seq_requests_total{path="/health",status="200"}' in client.raw("/metrics")[1]
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
        status, body, headers = client.raw(path)
        assert (status, headers.get_content_type()) == (200, kind)
        assert body
        assert headers["content-security-policy"].startswith("default-src 'none'")
    assert client.get("/nowhere") == {"error": "Not Found"}


def test_concurrent_answers_are_those_of_translate(client: Client, translator: seq2seq.Translator) -> None:
    lines = [LINES[number % 4] for number in range(48)]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda line: client.ask("/translate", q=line, target="de")[1]["translatedText"], lines))
    assert found == expected(translator, lines)


def test_keys_and_rates(models: Path, work: Path) -> None:
    (work / "keys").write_text("\ufefffirst\n\n second \n")
    settings = f"checkpoint={models}/additive", f"api_keys={work}/keys", "requests_per_minute=2"
    with serving(work, *settings) as (client, _):
        assert client.ask("/translate", q="a", target="de")[0] == 403
        assert client.ask("/translate", q="a", target="de", api_key="third")[0] == 403
        statuses = [client.ask("/translate", q="a", target="de", api_key="first")[0] for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert client.ask("/translate", q="a", target="de", api_key="second")[0] == 200
        assert client.get("/health") == {"status": "ok"}


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_is_lost_when_it_ends_under_load(
    models: Path, work: Path, translator: seq2seq.Translator, workers: int
) -> None:
    """Requests that it had accepted are answered; later connections are refused."""
    answers: list[tuple[int, int, str]] = []
    settings = f"checkpoint={models}/additive", "device=cpu", f"workers={workers}", "batch_size=1"
    with serving(work, *settings) as (client, process):

        def send(number: int) -> None:
            status, answer = client.ask("/translate", q=[LINES[number % 4]] * 20, target="de")
            answers.append((number, status, answer.get("translatedText", [""])[-1]))

        threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        while not answers:
            time.sleep(0.005)
        os.kill(process.pid or 0, signal.SIGTERM)
        for thread in threads:
            thread.join()
        process.join(60)
        assert process.exitcode == 143
    best = expected(translator, LINES)
    assert sorted(answers) == [(number, 200, best[number % 4]) for number in range(8)]


def test_it_ends_although_a_client_never_sends_the_rest(models: Path, work: Path) -> None:
    with serving(work, f"checkpoint={models}/additive", "timeout=0.1") as (client, process):
        with socket.create_connection(("127.0.0.1", int(client.url.rpartition(":")[2]))) as half:
            half.sendall(b"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            time.sleep(0.2)
            os.kill(process.pid or 0, signal.SIGTERM)
            process.join(30)
        assert process.exitcode == 143


def test_limits_of_decoding_hold_everywhere(models: Path, work: Path) -> None:
    with serving(work, f"checkpoint={models}/additive", "decoding.max_length=3") as (client, _):
        assert len(client.ask("/tree", q=LINES[0], target="de")[1][0]["tokens"]) == 3
        assert [kind for kind, _ in client.events(q=LINES[0])].count("step") == 3


def test_exported_graphs_translate(work: Path, translator: seq2seq.Translator, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("onnxruntime", reason="the extra `onnx`")
    graphs = request.getfixturevalue("with_graphs")
    with serving(work, f"checkpoint={graphs}", "decoding.engine=onnx") as (client, _):
        status, answer = client.ask("/translate", q=LINES, target="de")
        assert (status, answer.get("translatedText")) == (200, expected(translator, LINES))
        assert [kind for kind, _ in client.events(q=LINES[0])][-1] == "end"


def test_mistakes_at_the_start(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("ERROR", "seq2seq.inference")  # as the command does, so that the level is restored
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    good = f"checkpoint={models}/additive"
    (tmp_path / "empty").touch()
    for settings, message in (
        (["checkpoint=[]"], "expected a model to serve"),
        ([good, f"port={taken.getsockname()[1]}"], "can't listen there (Address already in use). Choose another port."),
        ([good, "port=0", "host=192.0.2.1"], "Give an address of this machine as host."),
        ([good, "port=0", "device=auto", "workers=2"], "only processes on a CPU"),
        ([good, "port=0", f"api_keys={tmp_path}/none"], "can't be read"),
        ([good, "port=0", f"api_keys={tmp_path}/empty"], "has no key"),
        ([good, "port=0", "decoding.n_best=2"], "a request says how many"),
        ([good, "port=0", "decoding.engine=onnx"], "decoding.engine=onnx"),
        ([f"checkpoint=[{models}/additive,{models}/additive/best]"], "two are called additive"),
        ([good, f"ensembles={{additive: [{models}/fixed]}}"], "a checkpoint has this name too"),
    ):
        assert main(["serve", *settings]) == 2
        assert message in capsys.readouterr().err
    taken.close()
