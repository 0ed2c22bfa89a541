"""Reading and writing checkpoint directories, which hold all it takes to translate, and the training state.

Tensors are stored as safetensors, everything else as JSON. Loading a checkpoint never executes code, never follows
links out of its directory, and takes as much memory as its files. SHA256SUMS has the format of `sha256sum -c`.
"""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seq2seq import build, hub
from seq2seq.config import Data, Model, parse, several, stored_data, to_plain
from seq2seq.errors import ConfigError, DataError, shown
from seq2seq.model.translation import TranslationModel
from seq2seq.search.lengths import Lengths
from seq2seq.text.json_io import number, read_bytes, read_json, typed
from seq2seq.text.storage import previous_name, replace_directory, within
from seq2seq.text.tokenizer import Tokenizer

FORMAT = 2
"""Format that is written. 1 can be read as well: `parse` understands its words."""
_SUMS = "SHA256SUMS"
_MAX_SUMS_SIZE = 1 << 16
"""Maximum size of SHA256SUMS in bytes."""
_MAX_CARD_SIZE = 1 << 20
_EDITED = f"If it is not damaged but was edited on purpose, delete the {_SUMS} beside it: then it is taken as it is."
_MODEL = ("model.safetensors", "config.json", "source.model", "target.model")
"""Files needed to translate."""
_EXTRA = ("links.json", "precision.json", "shortlist.safetensors")
"""Files that commands add."""
_CARD = "README.md"
_NO_STATE = "the training state can't be read"


@dataclass(frozen=True)
class Checkpoint:
    """A model and everything needed to use it."""

    model: TranslationModel
    options: Model
    data: Data
    source: Tokenizer
    target: Tokenizer
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Provenance: seed, hashes, versions and settings; empty in checkpoints without it."""
    lengths: Lengths = field(default_factory=Lengths)
    """Length statistics of the training pairs, which limit translations."""


@dataclass(frozen=True)
class TrainingState:
    """What training needs to resume as if it had never stopped."""

    values: dict[str, Any]
    tensors: dict[str, Tensor]


def save(path: Path, checkpoint: Checkpoint, card: str, state: TrainingState | None = None) -> None:
    """Write the directory, whole or not at all.

    A checkpoint with a state keeps its predecessor as `previous_name(path)`, to resume from if it is damaged.
    """
    with replace_directory(path, keep_previous=state is not None) as unfinished:
        _write(unfinished / "model.safetensors", _unique(checkpoint.model.state_dict()))
        values = {
            "format": FORMAT,
            "model": to_plain(checkpoint.options),
            "data": to_plain(checkpoint.data),
            "origin": dict(checkpoint.origin),
            "lengths": asdict(checkpoint.lengths),
        }
        (unfinished / "config.json").write_text(json.dumps(without_home(values), indent=2) + "\n")
        (unfinished / "source.model").write_bytes(checkpoint.source.model)
        (unfinished / "target.model").write_bytes(checkpoint.target.model)
        if state is not None:
            _write(unfinished / "state.safetensors", state.tensors)
            (unfinished / "state.json").write_text(json.dumps(state.values))
        sums = [f"{_sha256(file)}  {file.name}\n" for file in sorted(unfinished.iterdir())]
        (unfinished / _SUMS).write_text("".join(sums))
        (unfinished / _CARD).write_text(card, encoding="utf-8")  # not in the sums: people may edit it


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors and read them back. Raises OSError if that fails or the bits differ."""
    path.touch()
    mode = path.stat().st_mode  # save_file makes files that only their owner may read
    try:
        save_file(dict(tensors), path)
        path.chmod(mode)
        with safe_open(path, "pt") as file:
            wrong = [name for name, tensor in tensors.items() if not _bits(file.get_tensor(name)).equal(_bits(tensor))]
    except SafetensorError as error:  # which also reports a full disk
        raise OSError(str(error)) from error
    if wrong:
        raise OSError(f"what was read back of {path.name} is not what was written: {wrong}")


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def public_files(where: Path) -> dict[str, bytes | Path | None]:
    """Return the files of a checkpoint that others need, by name: neither training state nor card; None: it has none.

    In config.json, absolute paths become their last two parts. SHA256SUMS has the sums of these files.
    """
    files: dict[str, bytes | Path | None] = {
        name: within(where, name) if (where / name).exists() else None for name in sorted([*_MODEL, *_EXTRA])
    }
    values = _read_config(where)
    if (public := _shortened_paths(values)) != values:
        files["config.json"] = f"{json.dumps(public, indent=2)}\n".encode()
    sums = {
        name: _sha256(file) if isinstance(file, Path) else hashlib.sha256(file).hexdigest()
        for name, file in files.items()
        if file is not None
    }
    return {**files, _SUMS: "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()}


def read_card(where: Path) -> str:
    """Return the model card of a checkpoint; empty if it has none. Raises DataError if it can't be read."""
    if not os.path.isfile(where / _CARD):
        return ""
    with _reading(where, f"{_CARD} can't be read"):
        return read_bytes(within(where, _CARD), _MAX_CARD_SIZE).decode()


def damage(path: Path, names: Sequence[str] | None = None) -> str:
    """Compare these files of a checkpoint, or all, with its SHA256SUMS; return what is wrong, or an empty string.

    A checkpoint without SHA256SUMS, as older versions wrote them, passes.
    """
    try:
        lines = read_bytes(within(path, _SUMS), _MAX_SUMS_SIZE).decode(errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            return ""
        return f"{_SUMS} can't be read ({error})"
    wrong = []
    for line in lines:
        expected, _, name = line.partition("  ")
        if names is not None and name not in names:
            continue
        try:
            file = within(path, name)
            if not os.path.isfile(file):
                wrong.append(f"{name[:60]} is not there")
            elif _sha256(file) != expected:
                wrong.append(f"{name[:60]} ({file.stat().st_size} bytes) has not the SHA-256 of {_SUMS}")
        except OSError as error:
            wrong.append(f"{name} can't be read ({error.strerror})")
    return ", ".join(wrong)


def _unique(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop the second names of tied tensors, which safetensors refuses; loading ties them again."""
    first_names: dict[int, str] = {}
    for name, tensor in tensors.items():
        first_names.setdefault(tensor.data_ptr(), name)
    return {name: tensors[name].contiguous() for name in first_names.values()}


def find(path: Path) -> Path:
    """Return the checkpoint at this path: the directory itself, or the best one of a run directory.

    `hf://USER/NAME[@REVISION]` is downloaded first, unless it is in the cache.
    """
    if hub.is_name(path):
        downloaded = hub.download(path, (*_MODEL, *_EXTRA, _SUMS, _CARD), _MODEL)
        _check_undamaged(downloaded, _EXTRA)  # readers check the others
        return downloaded
    for candidate in (path, path / "best", previous_name(path), previous_name(path / "best")):
        if _is_there(candidate):
            return within(path, "best") if candidate == path / "best" else candidate
    if os.path.isfile(path):
        raise DataError(f"{path}: a file; expected the directory of a checkpoint, such as {path.parent}")
    newest = (
        f". Use {path / 'last'}: it is one, though no validation found it the best" if _is_there(path / "last") else ""
    )
    raise DataError(f"{path}: no checkpoint here (expected {', '.join(_MODEL)}){newest}")


def find_to_extend(path: Path) -> Path:
    """Return the checkpoint at this path, to write a further file into. Raises DataError for one on the Hub."""
    if hub.is_name(path):
        repo, revision = hub.split_name(path)
        raise DataError(
            f"{hub.PREFIX}{repo}: a checkpoint on the Hub, to which no file can be added here. Get a copy of your own: "
            f"hf download {repo} --revision {revision} --local-dir DIR, then give that directory."
        )
    return find(path)


def weights_hash(path: Path) -> str:
    """Return the SHA-256 of the weights of a checkpoint, or of the best one of a run directory."""
    return _sha256(find(path) / "model.safetensors")


def _is_there(path: Path) -> bool:
    return os.path.isfile(path / "model.safetensors")


def load(path: Path, device: torch.device) -> Checkpoint:
    """Read a checkpoint. Raises DataError for missing files and files that do not fit together."""
    where = find(path)
    _check_undamaged(where, _MODEL)
    with _reading(where):
        values = _read_config(where)
        options: Model = parse("model", values["model"])
        data: Data = parse("data", stored_data(with_home(values["data"])))
        made = dict(with_home(values.get("origin", {})))
        lengths = typed(Lengths, values.get("lengths", {}))
        source, target = (
            Tokenizer.load(within(where, f"{side}.model"), raw_text=data.raw_text, protect=several(data.protect))
            for side in ("source", "target")
        )
        tensors = load_file(within(where, "model.safetensors"))
    with torch.device("meta"), _Undrawn():
        model = build.translation_model(options, len(source), len(target), reverse_source=data.reverse_source)
    _restore(model, tensors, where, device)
    return Checkpoint(model.to(device), options, data, source, target, made, lengths)


def read_data(path: Path) -> Data:
    """Read the `data` section of a checkpoint, or of the best one of a run. Raises DataError as `load` does."""
    where = find(path)
    _check_undamaged(where, ["config.json"])
    with _reading(where):
        data: Data = parse("data", stored_data(with_home(_read_config(where)["data"])))
    return data


def read_model(path: Path) -> Model:
    """Read the `model` section of a checkpoint, or of the best one of a run. Raises DataError as `load` does."""
    where = find(path)
    with _reading(where):
        options: Model = parse("model", _read_config(where)["model"])
    return options


def read_validation_bleu(path: Path) -> float | None:
    """Read BLEU of the validation that chose a checkpoint, or the best one of a run; None if it was not recorded."""
    where = find(path)
    with _reading(where):
        return number(_read_config(where).get("origin", {}).get("validation", {}), "bleu")


@contextmanager
def _reading(where: Path, problem: str = "not a readable checkpoint") -> Iterator[None]:
    """Turn the errors of damaged files into a DataError that names the checkpoint."""
    try:
        yield
    except (OSError, ValueError, KeyError, AttributeError, TypeError, ConfigError, SafetensorError) as error:
        reason = f"config.json has no {error}" if isinstance(error, KeyError) else error
        raise DataError(f"{where}: {problem} ({reason})") from error


def _check_undamaged(where: Path, names: Sequence[str]) -> None:
    if wrong := damage(where, names):
        raise DataError(f"{where}: damaged: {wrong}. Restore it, or use another checkpoint. {_EDITED}")


def _read_config(where: Path) -> dict[str, Any]:
    values = read_json(within(where, "config.json"))
    if values.get("format") not in (1, FORMAT):
        raise DataError(f"{where}/config.json: format {shown(values.get('format'))}, this version reads 1 and {FORMAT}")
    return dict(values)


class _Undrawn(TorchFunctionMode):
    """Skips initialisation from a normal distribution, for which torch imports its compiler on the meta device."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (nn.init.normal_, Tensor.normal_):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _restore(model: TranslationModel, tensors: dict[str, Tensor], where: Path, device: torch.device) -> None:
    """Give a model on the meta device its weights; the file has one of the names of tied weights."""
    expected = dict(model.named_parameters(remove_duplicate=False))
    missing = sorted(dict(model.named_parameters()).keys() - tensors.keys())
    unknown = sorted(tensors.keys() - expected.keys())
    shapes = [
        f"{name} {tensor.dtype} {list(tensor.shape)} instead of {expected[name].dtype} {list(expected[name].shape)}"
        for name, tensor in tensors.items()
        if name in expected and (tensor.shape, tensor.dtype) != (expected[name].shape, expected[name].dtype)
    ]
    if missing or unknown or shapes:
        problems = {"missing": missing, "unknown": unknown, "wrong": shapes}
        counts = "; ".join(_shortened(kind, names) for kind, names in problems.items())
        raise DataError(f"{where}: weights don't fit config.json and the tokenizers ({counts})")
    # A copy: the tensors read are the file itself, mapped into memory and not aligned.
    given = {id(expected[name]): nn.Parameter(tensor.to(device, copy=True)) for name, tensor in tensors.items()}
    model.load_state_dict({name: given[id(weight)] for name, weight in expected.items()}, assign=True)


def _shortened(kind: str, names: Sequence[str]) -> str:
    """Return the number of names and the first of them."""
    return f"{len(names)} {kind}{': ' * bool(names)}{', '.join(names[:3])[:300]}{', ..' * (len(names) > 3)}"


def find_state(path: Path) -> Path | None:
    """Return the checkpoint with the training state: this one, or its predecessor if it is damaged; None without one.

    Raises DataError if all are damaged.
    """
    damaged = []
    for where in (path, previous_name(path)):
        if wrong := damage(where):
            damaged.append(f"{where}: damaged: {wrong}")
        elif os.path.isfile(where / "state.json"):
            return where
    if damaged:
        raise DataError(f"{'; '.join(damaged)}. There is no other state; restore it, or use another run_dir. {_EDITED}")
    return None


def load_state(path: Path) -> TrainingState:
    """Read a training state. Raises DataError if it can't be read."""
    values = state_values(path)
    with _reading(path, _NO_STATE):
        return TrainingState(values, load_file(within(path, "state.safetensors")))


def state_values(path: Path) -> dict[str, Any]:
    """Read a training state without its tensors. Raises DataError if it can't be read."""
    with _reading(path, _NO_STATE):
        return dict(read_json(within(path, "state.json")))


def optimizer_tensors(optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter]) -> dict[str, Tensor]:
    """Return the optimizer's moments under NUMBER.NAME: the number of the parameter and the name of the moment."""
    return {
        f"{number}.{name}": value
        for number, parameter in enumerate(parameters)
        for name, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Restore what `optimizer_tensors` returned for the same parameters.

    Raises ValueError, KeyError or IndexError for tensors of other parameters.
    """
    numbers = {id(p): number for number, p in enumerate(p for g in optimizer.param_groups for p in g["params"])}
    known = list(parameters)
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".")
        parameter = known[int(number)]
        if tensor.shape not in ((), parameter.shape):
            raise ValueError(f"{key} has the shape {list(tensor.shape)}, its weights {list(parameter.shape)}")
        place = numbers[id(parameter)]  # frozen parameters have no number and no moments
        state.setdefault(place, {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def without_home(values: Any) -> Any:
    """Replace the home directory in plain values by ~, to keep its name private."""
    home = os.path.expanduser("~")
    return values if home in ("~", "/") else _replace_start(values, f"{home}/", "~/")


def with_home(values: Any) -> Any:
    """Undo `without_home` on the same machine."""
    return _replace_start(values, "~/", f"{os.path.expanduser('~')}/")


def _replace_start(values: Any, old: str, new: str) -> Any:
    return _map_paths(values, lambda path: new + path[len(old) :] if path.startswith(old) else path)


def _shortened_paths(values: Any) -> Any:
    return _map_paths(values, lambda path: "/".join(Path(path).parts[1:][-2:]) if path.startswith("/") else path)


def _map_paths(values: Any, change: Callable[[str], str]) -> Any:
    """Apply a function to each text in plain values that may be a path."""
    if isinstance(values, dict):
        patterns = {"protect": values["protect"]} if "protect" in values else {}  # regular expressions, not paths
        return {key: _map_paths(value, change) for key, value in values.items()} | patterns
    if isinstance(values, list):
        return [_map_paths(value, change) for value in values]
    return change(values) if isinstance(values, str) else values
