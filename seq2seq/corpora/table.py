"""Tables of sentence pairs inside archives."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from seq2seq.text.storage import replace_file


def member(path: str, name: str | None = None) -> Callable[[Path, Path], None]:
    """Return a function that copies one file of a zip archive into a directory, called `name` there."""

    def convert(archive: Path, directory: Path) -> None:
        with (
            zipfile.ZipFile(archive) as opened,
            opened.open(path) as source,
            replace_file(directory / (name or Path(path).name)) as unfinished,
            unfinished.open("wb") as target,
        ):
            shutil.copyfileobj(source, target)

    return convert
