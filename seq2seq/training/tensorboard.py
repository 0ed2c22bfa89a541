"""Sample translations on TensorBoard: as text, and their attention as pictures."""

import io
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from seq2seq.errors import ConfigError
from seq2seq.inference.heatmap import of_translation, printable
from seq2seq.inference.translation import Translation
from seq2seq.version import install_command

logger = logging.getLogger(__name__)


def summary_writer() -> Any:
    """TensorBoard's class that writes events. Raises ConfigError where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            f"training.tensorboard=true: TensorBoard is missing. Install it: {install_command('tensorboard')}"
        ) from error
    return SummaryWriter


def check_board() -> None:
    """Raises ConfigError where TensorBoard is not installed; says so where only pictures will be missing."""
    summary_writer()
    if find_spec("matplotlib") is None:
        logger.info(
            "training.tensorboard=true: no pictures of attention without matplotlib. Install it: %s",
            install_command("plots"),
        )


def board_samples(
    board: Any, update: int, samples: Sequence[tuple[Translation, str]], languages: tuple[str, str]
) -> None:
    """Add translations with their references to a SummaryWriter; pictures only where matplotlib is installed."""
    for number, (sample, reference) in enumerate(samples, 1):
        board.add_text(f"samples/{number}", _markdown(sample, reference), update)
    heatmaps = [of_translation(sample) for sample, _ in samples]
    if all(heatmap is None for heatmap in heatmaps):
        return
    try:
        from matplotlib.image import imread

        from seq2seq.inference.picture import Painter
    except ImportError:  # `check_board` said so
        return
    painter = Painter(*languages)
    for number, heatmap in enumerate(heatmaps, 1):
        if heatmap is not None and heatmap.columns and heatmap.rows:
            pixels = imread(io.BytesIO(painter.draw(heatmap, "png")))[..., :3]  # height, width, colour
            board.add_image(f"attention/{number}", pixels, update, dataformats="HWC")


def _markdown(sample: Translation, reference: str) -> str:
    """A code block: text as it is, whatever is in it."""
    rows = (("source", sample.source), ("reference", reference), ("translation", sample.text))
    return "\n".join(f"    {name + ':':12} {printable(text)}" for name, text in rows)
