"""`seq2seq export`: writes a model as ONNX graphs, which other programs run."""

import logging
import os
from importlib.util import find_spec
from pathlib import Path

import torch

from seq2seq import checkpoint
from seq2seq.cli.files import check_directory
from seq2seq.config import ExportConfig
from seq2seq.errors import ConfigError
from seq2seq.export.stepper import directory_name
from seq2seq.text.storage import replace_directory
from seq2seq.version import install_command

logger = logging.getLogger(__name__)

_NEEDED = ("onnx", "onnxruntime", "onnxscript")


def run(config: ExportConfig) -> int:
    """Export a checkpoint and compare the result with it."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise ConfigError(f"export needs {', '.join(missing)}, not installed here. Use: {install_command('onnx')}")
    from seq2seq.export import onnx

    if config.output is None:
        where = checkpoint.find_to_extend(Path(config.checkpoint))
        output = where / directory_name(config.precision)
    else:
        where, output = checkpoint.find(Path(config.checkpoint)), Path(config.output)
    if os.path.lexists(output):
        raise ConfigError(f"output={output}: already exists and would be replaced. Delete it, or give another one.")
    check_directory(str(output))
    loaded = checkpoint.load(where, torch.device("cpu"))
    with replace_directory(output) as unfinished:
        difference = onnx.write(loaded, unfinished, config.precision, checkpoint.weights_hash(where))
        size = sum(path.stat().st_size for path in unfinished.iterdir())
    logger.info("%s: %.1f MB, opset %d, %s", output, size / 1e6, onnx.OPSET, config.precision)
    logger.info("log-probabilities and attention differ from the model's by %.1e at most", difference)
    logger.info("use: python %s %s < FILE", output / onnx.PROGRAM, output)
    if config.output is None:
        logger.info("or: seq2seq translate checkpoint=%s decoding.engine=onnx", config.checkpoint)
    return 0
