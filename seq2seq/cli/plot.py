"""`seq2seq plot`: what the attention did with each sentence."""

from pathlib import Path

from seq2seq.cli.files import input_lines
from seq2seq.cli.machine import choose_device
from seq2seq.config import ConfigError, PlotConfig
from seq2seq.inference.heatmap import draw, text_heatmap
from seq2seq.text.corpus import DataError
from seq2seq.training.checkpoint import load_translator


def run(config: PlotConfig, choices: dict[str, str]) -> int:
    """Translate each line and draw its attention matrix, numbered as the lines; blank lines are passed over."""
    translator = load_translator(config.checkpoint, choose_device(config.device))
    directory = Path(config.output)
    for number, (best, *_) in enumerate(translator.translate(input_lines(config.input), config.decoding), 1):
        if not best.tokens:
            continue
        if best.attention is None:
            raise ConfigError(f"checkpoint={config.checkpoint}: a model with placement none has no attention to draw")
        if config.output_format == "text":
            print(f"{best.source}\n{best.text}\n{text_heatmap(best)}\n")
            continue
        path = directory / f"{number:04}.{config.output_format}"
        try:
            draw(best, path)
        except OSError as error:
            raise DataError(f"output={config.output}: can't be written ({error.strerror or error})") from error
        except ImportError as error:
            raise ConfigError(
                f"output_format={config.output_format}: pictures need matplotlib. Install seq2seq[plots], "
                "or take output_format=text."
            ) from error
        print(path)
    return 0
