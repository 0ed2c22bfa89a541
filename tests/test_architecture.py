"""The layers: imports go down only, nothing executes data."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import seq2seq
from seq2seq.config import COMMANDS

PACKAGE = Path(seq2seq.__file__).parent
LAYERS = [
    "errors",
    "config",
    "text",
    "corpora",
    "nn",
    "attention",
    "model",
    "search",
    "device",
    "build",
    "hub",
    "checkpoint",
    "export",
    "inference",
    "training",
    "benchmark",
    "serve",
    "cli",
]
"""From the bottom up; a module imports from its own layer and those below."""
DOOR = "seq2seq.config"
"""The one package below the top whose `__init__` is imported from: by all that is outside, and only so."""
MODULES = sorted(PACKAGE.rglob("*.py"))


def layer(module: str) -> int:
    """The place of seq2seq.X... in the list."""
    return LAYERS.index(module.split(".")[1])


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def inside(path: Path) -> list[str]:
    return [i for i in imports(path) if i.startswith("seq2seq.") and not i.startswith("seq2seq.version")]


def test_there_are_modules() -> None:
    assert len(MODULES) > 40


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent != PACKAGE or p.stem in LAYERS], ids=name)
def test_imports_go_down(path: Path) -> None:
    for imported in inside(path):
        assert layer(imported) <= layer(name(path)), f"{name(path)} imports {imported}"


def test_the_lowest_layers_know_little() -> None:
    standard = {
        "ast", "collections", "dataclasses", "difflib", "functools", "inspect", "itertools", "math",
        "operator", "sys", "types", "typing",
    }  # fmt: skip
    low = [PACKAGE / "errors.py", *(PACKAGE / "config").glob("*.py")]
    assert len(low) > 5
    for path in low:
        known = ("seq2seq.errors.", "seq2seq.config.")
        assert {i.split(".")[0] for i in imports(path) if not i.startswith(known)} <= standard, path
    for path in MODULES:
        if path.parent.name in ("attention", "model", "search", "text"):
            assert not [imported for imported in inside(path) if imported.startswith("seq2seq.config")], path
        if path.parent.name != "cli":
            assert not [i for i in imports(path) if i.split(".")[0] in ("hydra", "omegaconf")], path


def test_no_command_imports_a_command() -> None:
    commands = {f"seq2seq.cli.{command}" for command in COMMANDS}
    for path in (PACKAGE / "cli").glob("*.py"):
        imported = {module for i in inside(path) for module in (i, i.rpartition(".")[0])}
        assert not imported & commands - {name(path)}, path


def test_there_are_no_cycles() -> None:
    loaded = [path for path in MODULES if path != PACKAGE / "__init__.py"]  # that one imports only when asked
    modules = {name(path) for path in loaded}
    graph = {
        name(path): {m for i in inside(path) for m in (i, i.rpartition(".")[0]) if m in modules and m != name(path)}
        for path in loaded
    }
    while graph:
        leaves = [module for module, needs in graph.items() if not needs & graph.keys()]
        assert leaves, f"a cycle among {sorted(graph)}"
        for leaf in leaves:
            del graph[leaf]


def test_nothing_is_imported_from_an_init_of_the_tree() -> None:
    packages = {name(path) for path in MODULES if path.name == "__init__.py"}
    modules = {name(path) for path in MODULES}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in packages - {DOOR}:
                assert all(f"{node.module}.{alias.name}" in modules for alias in node.names), (path, node.module)


def test_configuration_has_one_door() -> None:
    behind = {name(path) for path in MODULES if name(path).startswith(f"{DOOR}.")}
    for path in MODULES:
        for imported in imports(path):
            if imported.startswith(f"{DOOR}.") and name(path) != DOOR:
                is_behind = imported in behind or imported.rpartition(".")[0] in behind
                assert is_behind == (name(path) in behind), f"{name(path)} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_data_can_execute_nothing(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            assert not {"pickle", "marshal", "shelve", "dill"} & {part for n in names for part in n.split(".")}
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            is_torch_eval = called == "eval" and isinstance(node.func, ast.Attribute)
            assert called not in ("exec", "eval", "instantiate") or is_torch_eval, f"{path}:{node.lineno}"
            if ast.unparse(node.func) == "torch.load":
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)


ARCHITECTURES = ("recurrent", "transformer", "convolutional")
OWN = ("model/layered.py", *(f"model/{kind}/*.py" for kind in ARCHITECTURES))
EXCEPTIONS = ("model/pooling.py", "model/quantised.py")
"""They know recurrent layers, wherever these stand: one pooling has such a layer, and fewer bits need other ones."""
MAY_ASK = ("build.py", "config/*.py", *OWN, *EXCEPTIONS)
CLASSES = re.compile("(Recurren|Transformer|Convolution|Layered|FeedForward)")


def asked(tree: ast.AST) -> Iterator[str]:
    """What asks which architecture a model has: an import of its classes, a test of them, or a comparison of names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield from (f"import of {module}" for kind in ARCHITECTURES if f".model.{kind}" in f"{module}.")
        elif isinstance(node, (ast.Name, ast.Attribute)):
            word = node.id if isinstance(node, ast.Name) else node.attr
            if CLASSES.match(word):
                yield word
        elif isinstance(node, (ast.Compare, ast.MatchValue)):
            constants = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
            yield from (f"comparison with {value!r}" for value in constants if value in ARCHITECTURES)


def test_nobody_asks_for_an_architecture() -> None:
    may = {path for pattern in MAY_ASK for path in PACKAGE.glob(pattern)}
    found = {path: list(asked(ast.parse(path.read_text()))) for path in MODULES}
    assert not {name(path): what for path, what in found.items() if what and path not in may}
    assert all(found[PACKAGE / path] for path in ("build.py", *EXCEPTIONS)), "an exception that nobody needs"


@pytest.mark.parametrize(
    "code",
    [
        "from seq2seq.model.transformer.encoder import TransformerEncoder",
        "from seq2seq.model.recurrent import layers",
        "isinstance(model.encoder, RecurrentEncoder)",
        "isinstance(options.decoder, config.ConvolutionalDecoder)",
        "config.model.encoder.name == 'transformer'",
        "name in ('recurrent', 'other')",
        "match name:\n    case 'convolutional': pass",
    ],
)
def test_a_question_for_an_architecture_is_found(code: str) -> None:
    assert list(asked(ast.parse(code)))
