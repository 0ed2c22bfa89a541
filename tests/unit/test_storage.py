"""Directories that appear whole."""

from pathlib import Path

from seq2seq.text.storage import replace_directory


def test_one_that_another_process_made_meanwhile_is_kept_if_asked(tmp_path: Path) -> None:
    final = tmp_path / "entry"
    for keep, left in ((True, "theirs"), (False, "ours")):
        with replace_directory(final, keep=keep) as unfinished:
            (unfinished / "file").write_text("ours")
            final.mkdir(exist_ok=True)
            (final / "file").write_text("theirs")
        assert (final / "file").read_text() == left
        assert [path.name for path in tmp_path.iterdir()] == ["entry"]
