"""Where a model's parameters are."""

import pytest
from support.variants import build_model, one_by_one_rows, pairwise_rows

from seq2seq import build, config
from seq2seq.attention.attention import Attention
from seq2seq.model.parameters import parameters_by_part


def test_every_parameter_is_in_one_part() -> None:
    for row in [*pairwise_rows(), *one_by_one_rows()]:
        model = build_model(row)
        counts = parameters_by_part(model)
        assert sum(counts.values()) == sum(parameter.numel() for parameter in model.parameters()), row
        attending = {name: part for name, part in model.named_modules() if isinstance(part, Attention)}
        places = [part for name, part in attending.items() if not name.startswith("context.")]
        assert counts["attention"] == sum(p.numel() for part in places for p in part.parameters()), row
        context = [] if model.context is None else model.context.parameters()
        assert counts["context"] == sum(p.numel() for p in context), row


@pytest.mark.parametrize(
    ("tied", "embeddings", "output"),
    [
        ("none", 11 * 6 + 13 * 6, 13 * 8 + 13),
        ("target_output", 11 * 6 + 13 * 6, 13 + 8 * 6),  # W is counted there, b and P here
        ("source_target", 13 * 6, 13 * 8 + 13),
        ("all", 13 * 6, 13 + 8 * 6),
    ],
)
def test_tied_parameters_count_once(tied: str, embeddings: int, output: int) -> None:
    attention, bridge = {"placement": {"name": "none"}}, {"name": "last"}
    sizes = {"embedding_size": 6, "hidden_size": 8, "tied_embeddings": tied}
    options = config.parse("model", {**sizes, "attention": attention, "bridge": bridge})
    same = tied in ("source_target", "all")
    counts = parameters_by_part(build.translation_model(options, 13 if same else 11, 13))
    assert (counts["embeddings"], counts["output"]) == (embeddings, output)
