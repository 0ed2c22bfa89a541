"""Which directory a run has, and whether it may go on there."""

import dataclasses
import json
import os
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import trainers

from seq2seq.config import CHANGEABLE, TrainConfig, Training, to_plain
from seq2seq.errors import ConfigError, DataError
from seq2seq.training import run_directory
from seq2seq.training.corpora import prepare_data
from seq2seq.training.run_directory import check_run_dir, check_space, check_writable, default_run_dir

TOLD = ["data.train=text/train", "data.valid=text/valid", "data.source_lang=en", "data.target_lang=de"]
PATHS = ("data.train", "data.valid", "data.alignments", "training.start_from")


def config(*more: str) -> TrainConfig:
    return trainers.settings([*TOLD, *more])


def stored(run_dir: Path, settings: TrainConfig) -> Path:
    """A run directory whose run began with these settings."""
    run_dir.mkdir(exist_ok=True)
    (run_dir / "config.json").write_text(json.dumps(to_plain(settings)))
    return run_dir


def leaves(section: Any, path: str = "") -> Iterator[tuple[str, "dataclasses.Field[Any]", Any]]:
    for option in dataclasses.fields(section):
        value = getattr(section, option.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{path}{option.name}.")
        elif option.name not in ("name", "change"):
            yield f"{path}{option.name}", option, value


def another(option: "dataclasses.Field[Any]", value: Any) -> Any:
    """Another value of the same kind; whether it makes sense with the others does not matter here."""
    if option.metadata.get("choices"):
        return next(choice for choice in option.metadata["choices"] if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1 if "le" not in option.metadata else value / 2 or 0.5
    return "another"


def changed(settings: TrainConfig, key: str, value: Any) -> TrainConfig:
    *path, last = key.split(".")
    holders = [settings]
    for name in path:
        holders.append(getattr(holders[-1], name))
    new: Any = dataclasses.replace(holders.pop(), **{last: value})  # type: ignore[type-var]
    for name, holder in zip(reversed(path), reversed(holders), strict=True):
        new = dataclasses.replace(holder, **{name: new})
    assert isinstance(new, TrainConfig)
    return new


KEYS = {key: another(option, value) for key, option, value in leaves(config()) if key not in PATHS}


@pytest.mark.parametrize("key", KEYS)
def test_a_run_keeps_what_its_directory_is_named_by_and_may_change_all_else(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = config(), changed(config(), key, KEYS[key])
    monkeypatch.setattr(run_directory, "_stored_config", lambda run_dir: before)  # `after` need not be valid
    same_name = default_run_dir(before, "a") == default_run_dir(after, "a")
    if same_name:
        assert [change.partition(":")[0] for change in check_run_dir(tmp_path, after)] == [key]
    else:
        with pytest.raises(ConfigError, match=f"(?m)^  {key}: was "):
            check_run_dir(tmp_path, after)
    assert same_name == (key in run_directory._FREE)


def test_what_shapes_the_updates_is_not_free() -> None:
    for name in (*CHANGEABLE, "batch_tokens", "optimizer", "precision", "validate_every", "metric", "accumulate"):
        assert f"training.{name}" in KEYS.keys() - set(run_directory._FREE)


def test_options_that_come_later_change_no_name() -> None:
    later = dataclasses.make_dataclass("Later", [("later", int, dataclasses.field(default=3))], bases=(Training,))
    old = config("training.learning_rate=0.5")
    new = dataclasses.replace(old, training=later(**vars(old.training)))
    assert default_run_dir(new, "a") == default_run_dir(old, "a")
    other = dataclasses.replace(old, training=later(**vars(old.training), later=4))
    assert default_run_dir(other, "a") != default_run_dir(old, "a")


def test_a_default_that_changes_can_change_all_names(monkeypatch: pytest.MonkeyPatch) -> None:
    before = default_run_dir(config(), "a")
    monkeypatch.setattr(run_directory, "_DEFAULTS_VERSION", 0)
    assert default_run_dir(config(), "a") != before


def test_a_path_has_one_name_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plain = default_run_dir(config(), "a")
    assert plain.name.startswith("text-a-")
    for train in (f"{tmp_path}/text/train", "./text//train", ["text/train"], [f"{tmp_path}/text/train"]):
        assert default_run_dir(config(f"data.train={json.dumps(train)}"), "a") == plain
    assert default_run_dir(config('data.train=["text/train","more"]'), "a").name.startswith("text+1-a-")
    monkeypatch.chdir("/")
    assert default_run_dir(config("data.train=../train"), "a").name.startswith("train-a-")


@pytest.mark.parametrize(
    ("swept", "ends"),
    [
        ({"training.max_updates": "100"}, "-max_updates=100"),
        ({"training.max_updates": "100", "training.learning_rate": "0.1"}, "-max_updates=100"),
        ({"training.learning_rate": "0.1", "seed": "2", "model/attention": "none", "model.attention.heads": "2"}, ""),
        ({"data.cache_dir": "../a b"}, "-cache_dir=.._a_b-"),
        ({"experiment": "demo"}, "-experiment=demo"),
        ({"device": "cpu", "check": "true"}, "-check=true-device=cpu"),
    ],
)
def test_swept_keys_that_are_not_in_the_hash_are_in_the_name(swept: dict[str, str], ends: str) -> None:
    plain, name = default_run_dir(config(), "a"), default_run_dir(config(), "a", swept)
    assert name.parent == plain.parent
    assert name.name.startswith(plain.name + ends)
    assert len(name.name) <= len(plain.name + ends) + 6


def test_the_files_of_a_run_may_lie_elsewhere_but_be_no_fewer(tmp_path: Path) -> None:
    run_dir = stored(tmp_path / "run", config())
    assert check_run_dir(run_dir, config("data.train=/there/train", 'data.valid=["/there/valid"]')) == [
        "data.train: was 'text/train', now '/there/train'",
        "data.valid: was 'text/valid', now ['/there/valid']",
    ]
    guided = ["data.alignments=a", "training.guided_alignment=1"]
    for more, key in ((['data.train=["a","b"]'], "data.train"), (guided, "data.alignments")):
        with pytest.raises(ConfigError, match=f"  {key}: was "):
            check_run_dir(run_dir, config(*more))


def test_a_run_began_with_what_is_in_its_first_checkpoint(tmp_path: Path) -> None:
    """Wherever that lies now; and without it, once the run has a state."""
    trainers.make(tmp_path, "training.max_updates=1", run="parent").run()
    shutil.copytree(tmp_path / "parent", tmp_path / "copy")

    def child(start: str) -> TrainConfig:
        return trainers.settings([*trainers.told(tmp_path), f"training.start_from={tmp_path / start}"])

    run_dir = stored(tmp_path / "run", child("parent"))
    with pytest.raises(ConfigError, match=r"  training\.start_from: was "):
        check_run_dir(run_dir, child("copy"))  # no state tells what it began with
    trainers.make(tmp_path, f"training.start_from={tmp_path / 'parent'}", "training.max_updates=2").run()
    assert len(check_run_dir(run_dir, child("copy"))) == 1
    with pytest.raises(ConfigError, match=r"  training\.start_from: was "):
        check_run_dir(run_dir, child("run"))
    shutil.rmtree(tmp_path / "parent")
    assert check_run_dir(run_dir, child("parent")) == []
    data = prepare_data(child("parent"), run_dir)
    assert not data.start
    assert data.hashes.keys() == {"train", "valid", "start_from"}


def test_a_change_has_to_be_named(tmp_path: Path) -> None:
    run_dir = stored(tmp_path / "run", config(f"run_dir={tmp_path / 'run'}"))
    rate = "training.learning_rate=0.5"
    with pytest.raises(ConfigError, match=r"listed in change=\[...\], training\.learning_rate, "):
        check_run_dir(run_dir, config(rate, f"run_dir={run_dir}"))
    allowed = config(rate, 'change=["training.learning_rate"]', f"run_dir={run_dir}")
    assert check_run_dir(run_dir, allowed) == ["training.learning_rate: was 0.001, now 0.5"]
    with pytest.raises(ConfigError, match=r"  training\.clip_norm: was 1\.0, now 2\.0"):
        check_run_dir(run_dir, dataclasses.replace(allowed, training=Training(learning_rate=0.5, clip_norm=2.0)))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (['change=["training.learning_rate"]'], "and run_dir=null: other settings have another default directory"),
        (['change=["training.learning_rates"]', "run_dir=run"], "Did you mean 'training.learning_rate'?"),
        (['change=["training.batch_tokens"]', "run_dir=run"], "no such choice"),
    ],
)
def test_a_change_that_can_not_be_is_refused(more: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config(*more)
    assert says in str(refused.value)


def test_a_directory_is_tried_without_a_trace(tmp_path: Path) -> None:
    check_writable(tmp_path / "new/run")
    check_writable(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"run_dir=.*file/run: can't be written \(Not a directory\)"):
        check_writable(tmp_path / "file/run")
    with pytest.raises(DataError, match=r"can't be written \(File name too long\)"):
        check_writable(tmp_path / ("n" * 300))
    assert os.listdir(tmp_path) == ["file"]


def test_the_disk_has_to_have_room_for_what_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")(10**9, 0, 3_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    run_dir = tmp_path / "new/run"
    check_space(run_dir, 3_000_000)
    with pytest.raises(ConfigError, match=r"take up to 4\.0 MB \(0\.0 MB already exist\), and 3\.0 MB are free"):
        check_space(run_dir, 4_000_000)
    (run_dir / "last").mkdir(parents=True)
    (run_dir / "last/model.safetensors").write_bytes(bytes(1_000_000))
    check_space(run_dir, 4_000_000)
