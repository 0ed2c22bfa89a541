"""Every file under configs/ is composed, parsed, built and stepped."""

import functools
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq import build
from seq2seq.cli.command_line import read
from seq2seq.cli.compose import CONFIGS, run_composed
from seq2seq.cli.grid import Cell, plan
from seq2seq.cli.names import groups
from seq2seq.config import COMMANDS, CompareConfig, TrainConfig, parse
from seq2seq.corpora.catalogue import CORPORA
from seq2seq.errors import ConfigError

DATA = ["data.train=t", "data.valid=v", "data.source_lang=en", "data.target_lang=de"]
ATTENTIONS = sorted(path.stem for path in (CONFIGS / "model/attention").glob("*.yaml"))
EXPERIMENTS = sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml"))
PAPERS = sorted(path.stem for path in (CONFIGS / "experiment/paper").glob("*.yaml"))
BENCHMARKS = sorted(path.stem for path in (CONFIGS / "experiment/benchmark").glob("*.yaml"))
"""Experiments without data."""
COMPARISONS = sorted(
    str(path.relative_to(CONFIGS / "comparison").with_suffix("")) for path in (CONFIGS / "comparison").rglob("*.yaml")
)
LEAST_CELLS = {
    "architectures_multi30k": 4,
    "paper/luong2015_ladder": 6,
    "paper/luong2015_scores": 8,
    "paper/multi30k": 2,
    "regularisation": 9,
    "regularisation_multi30k": 7,
}
"""Fewer than ten, where a cell takes an hour or more, or there is no more to compare."""
PLACEMENTS = sorted(path.stem for path in (CONFIGS / "model/attention/placement").glob("*.yaml"))
"""With an option of their own."""
LAUNCHERS = sorted(path.stem for path in (CONFIGS / "hydra/launcher").glob("*.yaml"))
MODELS = sorted(path.stem for path in (CONFIGS / "model").glob("*.yaml"))
SIDES = [(side, path.stem) for side in ("encoder", "decoder") for path in (CONFIGS / "model" / side).glob("*.yaml")]
"""Options that the papers' models consist of."""
OPTIONS = [(group, option) for group, table in groups("train").items() for option in table]
NEEDS = {
    "model/encoder/attention": ["model/encoder=transformer"],
    "model/decoder/attention": ["model/decoder=transformer"],
    "model/positions": ["model/encoder=transformer"],
    "model/context/": ["model/context=hierarchical", "data.context=1"],
}
"""Groups that mean something with another choice alone."""


def compose(command: str, *overrides: str) -> Any:
    found: list[Any] = []
    run_composed(command, read(command, overrides), lambda values: found.append(parse(command, values)))
    (config,) = found
    return config


def stepped(config: TrainConfig) -> None:
    config.model.hidden_size, config.model.embedding_size = 16, 4
    config.model.encoder_layers = config.model.decoder_layers = 2
    if config.model.encoder.name == "recurrent":
        config.model.encoder.hidden_size = None
    model = build.translation_model(config.model, 12, 12)
    source = torch.tensor([[4, 5, 6, 3], [7, 3, 0, 0]])
    decoded = model(source, torch.tensor([4, 2]), torch.tensor([[2, 4], [2, 5]]))
    assert decoded.features.isfinite().all()


def test_the_tree_is_as_long_as_it_was() -> None:
    assert len(MODELS) == 6
    assert len(SIDES) == 6
    assert len(ATTENTIONS) == 14
    assert len(EXPERIMENTS) >= 6
    assert len(COMPARISONS) >= 9
    assert len(PAPERS) >= 14
    assert len(OPTIONS) == 3 + 3 + 5 * 19 + 4 + 4 + 4 + 2
    assert len(BENCHMARKS) >= 1
    groups = (MODELS, SIDES, ATTENTIONS, EXPERIMENTS, PAPERS, BENCHMARKS, COMPARISONS, PLACEMENTS, LAUNCHERS)
    assert len(list(Path(CONFIGS).rglob("*.yaml"))) == sum(map(len, groups)) + len(COMMANDS)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_attention_presets(attention: str) -> None:
    stepped(compose("train", *DATA, f"model/attention={attention}"))


@pytest.mark.parametrize(("side", "option"), SIDES)
def test_sides(side: str, option: str) -> None:
    stepped(compose("train", *DATA, f"model/{side}={option}"))


@pytest.mark.parametrize("model", MODELS)
def test_models(model: str) -> None:
    stepped(compose("train", *DATA, f"model={model}"))
    assert compose("benchmark", f"model={model}").model == compose("train", *DATA, f"model={model}").model


@pytest.mark.parametrize("model", MODELS)
def test_a_models_sizes_win_over_an_experiments(model: str) -> None:
    found = compose("train", "experiment=demo", f"model={model}").model
    assert found == compose("train", *DATA, f"model={model}").model


@pytest.mark.parametrize("experiment", [*EXPERIMENTS, *(f"paper/{paper}" for paper in PAPERS)])
def test_experiments(experiment: str) -> None:
    stepped(compose("train", f"experiment={experiment}"))


@pytest.mark.parametrize("paper", PAPERS)
def test_a_paper_tells_its_figures_and_where_its_corpus_is(paper: str) -> None:
    header = (CONFIGS / f"experiment/paper/{paper}.yaml").read_text().partition("\n\n")[0]
    assert "# Published (" in header
    assert re.search(r"# Not run here|# Here, ", header)
    corpora = [f"seq2seq fetch {name}" for name in CORPORA] + ["not in `seq2seq fetch`"]
    assert any(corpus in header for corpus in corpora)


@pytest.mark.parametrize(
    ("experiment", "attention"),
    [
        (experiment, attention)
        for row, experiment in enumerate(EXPERIMENTS)
        for column, attention in enumerate(ATTENTIONS)
        if (row + column) % 3 == 0
    ],
)
def test_any_experiment_takes_any_attention_its_decoder_has_a_place_for(experiment: str, attention: str) -> None:
    """Compose a third of the pairs: each experiment and each attention in several."""
    decoder = compose("train", f"experiment={experiment}").model.decoder
    placement = compose("train", *DATA, f"model/attention={attention}").model.attention.placement
    words = [f"experiment={experiment}", f"model/attention={attention}"]
    without_source = placement.name == "none" and decoder.name != "recurrent"  # layers have no first state to hold it
    if type(placement) in decoder.placements and not without_source:
        assert compose("train", *words)
    else:
        with pytest.raises(ConfigError, match=f"placement={placement.name}"):
            compose("train", *words)


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_benchmarks_take_any_attention_and_train_too(benchmark: str) -> None:
    chosen = f"experiment=benchmark/{benchmark}"
    stepped(compose("train", *DATA, chosen))
    assert compose("benchmark", chosen).data is None
    assert compose("benchmark", *DATA, chosen).model == compose("train", *DATA, chosen).model
    legal = {kind.name for kind in compose("benchmark", chosen).model.decoder.placements} - {"none"}
    for placement in legal:
        assert compose("benchmark", chosen, f"model/attention/placement={placement}")
    for attention in ATTENTIONS if "before" in legal else ():
        assert compose("benchmark", chosen, f"model/attention={attention}")


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_placements_with_an_option(placement: str) -> None:
    stepped(compose("train", *DATA, f"model/attention/placement={placement}"))


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_comparisons(comparison: str) -> None:
    planned: list[tuple[CompareConfig, list[Cell]]] = []

    def note(values: dict[str, Any]) -> None:
        config = parse("compare", values)
        planned.append((config, plan(config)))

    run_composed("compare", read("compare", [f"comparison={comparison}"]), note)
    ((config, cells),) = planned
    settings = {str(cell.training) for cell in cells}
    assert len(settings) == len({cell.name for cell in cells}) == len(cells) == len(config.variants) * len(config.seeds)
    assert len(cells) >= LEAST_CELLS.get(comparison, 10)
    assert config.published.keys() <= config.variants.keys()
    for cell in cells:
        stepped(cell.training)


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_is_one_word_away(group: str, option: str) -> None:
    around = next((words for place, words in NEEDS.items() if group.startswith(place)), [])
    words = [*DATA, *around, f"{group}={option}", *(["data.context=1"] if option == "hierarchical" else [])]
    if option == "reinforce" and group != "model/attention/normaliser":
        with pytest.raises(ConfigError, match=r"Use .*/normaliser=gumbel or hard"):
            compose("train", *words)
        return
    config = compose("train", *words)
    part = functools.reduce(getattr, group.split("/"), config)
    assert part.name == option
    stepped(config)


@pytest.mark.parametrize("command", ["translate", "evaluate", "bleu", "plot"])
def test_other_commands(command: str) -> None:
    needed = {"bleu": ["hypothesis=h", "reference=r"], "evaluate": ["checkpoint=c", "source=s", "reference=r"]}
    assert compose(command, *needed.get(command, ["checkpoint=c"]))


def test_presets_are_the_papers() -> None:
    def axes(attention: str) -> list[object]:
        a = compose("train", *DATA, f"model/attention={attention}").model.attention
        return [part and part.name for part in (a.score, a.window, a.normaliser, a.placement)] + [a.heads]

    assert axes("bahdanau2015_tanh") == axes("bahdanau2015")
    assert axes("bahdanau2015") == ["additive", "global", "softmax", "before", 1]
    assert axes("luong2015_global") == ["general", "global", "softmax", "after", 1]
    assert axes("luong2015_local_m") == ["general", "local_m", "softmax", "after", 1]
    assert axes("luong2015_local_p") == ["general", "local_p", "softmax", "after", 1]
    assert axes("vaswani2017") == ["scaled_dot", "global", "softmax", "between", 8]
    assert axes("gehring2016") == ["general", "global", "softmax", "before", 1]
    assert axes("gehring2017") == ["dot", "global", "softmax", "between", 1]
    assert axes("chen2018") == ["additive", "global", "softmax", "before", 4]
    assert axes("none") == [None, None, None, "none", None]
    assert compose("train", *DATA).model.attention.placement.name == "before"
