"""Text from archives: tables in zip files, and IWSLT14's talks."""

import io
import tarfile
import zipfile
from pathlib import Path

from seq2seq.corpora import iwslt, table


def test_a_table_comes_out_of_a_zip_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "spa-eng.zip", "w") as archive:
        archive.writestr("spa.txt", "Go.\tVe.\tCC-BY\n")
        archive.writestr("_about.txt", "about")
    table.member("spa.txt", "spa.tsv")(tmp_path / "spa-eng.zip", tmp_path)
    assert (tmp_path / "spa.tsv").read_text() == "Go.\tVe.\tCC-BY\n"
    assert not (tmp_path / "_about.txt").exists()


def test_talks_lose_their_tags_and_every_23rd_pair(tmp_path: Path) -> None:
    sentences = [f"Satz {number} ." for number in range(46)]
    sentences[3:5] = ["<Beifall>", ""]  # the other language may have text there
    talk = ["<url>http://example</url>", "<title>Titel</title>", "<description>Worum</description>", *sentences]
    files = {"train.tags.de-en.de": "\n".join(talk[:1] + talk[1:] + [""])}
    for name in ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012"):
        lines = ["<?xml version='1.0'?>", "<talkid>1</talkid>", f'<seg id="1"> {name} & mehr </seg>', "</doc>"]
        files[f"IWSLT14.{name}.de-en.de.xml"] = "\n".join(lines)
    with tarfile.open(tmp_path / "de-en.tgz", "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"de-en/{name}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    iwslt.converter("de")(tmp_path / "de-en.tgz", tmp_path)
    train, valid, test = ((tmp_path / f"{part}.de").read_text().splitlines() for part in ("train", "valid", "test"))
    assert valid == [sentences[20], sentences[43]]
    assert train == ["Titel", "Worum", *(sentence for sentence in sentences if sentence not in valid)]
    assert test[0] == "TED.dev2010 & mehr"
    assert len(test) == 5
