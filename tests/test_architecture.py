"""Who may import whom (docs/architecture.md), that imports stay quick, and that every module has its tests."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import regseg

PACKAGE = Path(regseg.__file__).parent
ENTRY_POINTS = {path.stem for path in PACKAGE.glob("*.py") if "@entry_point(" in path.read_text()}
LEAVES = {"errors", "system", "run_dir", "run_settings", "run_start", "multirun"}  # import one another at most
MIDDLE = {"training", "inference", "models", "data"}
ALLOWED = {
    **dict.fromkeys(LEAVES, LEAVES),
    "streets": {"streets"},
    "models": {"models"},
    "data": {"data", "streets"},
    "training": MIDDLE,
    "inference": MIDDLE,
    "benchmarks": {"benchmarks", "reporting"} | MIDDLE,
    "dataset_tools": {"dataset_tools", "reporting", "data"},
    "reporting": {"reporting", "models"},
}
ONLY_IN = {  # library -> the modules that may import it
    "hydra": ENTRY_POINTS
    | {"arguments", "auto_values", "cli", "config", "error_messages", "help_text", "mistyped", "run_names"},
    "wandb": {"training.loggers", "reporting.wandb_workspace"},
}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        imported = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name} imports relatively"
                names = [f"regseg.{alias.name}" for alias in node.names] if node.module == "regseg" else [node.module]
                imported |= set(names)
        yield name, imported


MODULES = list(modules())


def test_entry_points_are_found():
    assert {"train", "evaluate"} <= ENTRY_POINTS


@pytest.mark.parametrize(("name", "imported"), MODULES, ids=[name for name, _ in MODULES])
def test_layers(name, imported):
    layer = name.split(".")[0]
    for module in imported:
        top, _, rest = module.partition(".")
        if top == "regseg" and layer in ALLOWED:
            assert rest.split(".")[0] in ALLOWED[layer] | LEAVES, f"{name} imports {module}"
        if top in ONLY_IN:
            assert name in ONLY_IN[top], f"{name} imports {module}"
        assert top not in {"torchvision", "timm"}


def test_there_is_no_import_circle():
    """Not even one for annotations or inside functions."""
    files = {name.removesuffix(".__init__") for name, _ in MODULES}
    graph = {name.removesuffix(".__init__"): set() for name, _ in MODULES}
    for name, imported in MODULES:
        for module in imported:
            target = module.removeprefix("regseg.")
            if module.startswith("regseg.") and name != "__init__":
                graph[name.removesuffix(".__init__")].add(target if target in files else target.rpartition(".")[0])

    def reachable(name):
        seen, waiting = set(), [name]
        while waiting:
            new = graph.get(waiting.pop(), set()) - seen
            seen |= new
            waiting += new
        return seen

    assert not [name for name in graph if name in reachable(name)]


def test_importing_the_package_imports_no_torch():
    code = "import sys, regseg; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# Test files named otherwise, because pytest imports them by their base names, which have to differ.
NAMED_OTHERWISE = {
    "__main__.py": "test_main.py",
    "export.py": "test_export_command.py",  # tests/inference/test_export.py
    "benchmarks/blocks.py": "benchmarks/test_block_latencies.py",  # tests/models/test_blocks.py
    "inference/progress.py": "inference/test_prediction_progress.py",  # tests/training/test_progress.py
    "streets/layout.py": "streets/test_street_layout.py",  # tests/data/datasets/test_layout.py
}


def test_every_module_has_a_test_file():
    tests = Path(__file__).parent
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE)
        mirrored = NAMED_OTHERWISE.get(module.as_posix(), module.with_name(f"test_{module.name}"))
        assert path.name == "__init__.py" or (tests / mirrored).is_file(), f"{module} has no tests/{mirrored}"


@pytest.mark.parametrize("root", [PACKAGE, Path(__file__).parent], ids=["source", "tests"])
def test_no_file_or_function_is_too_long(root):
    for path in root.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 300, path
        for function in ast.walk(ast.parse(text)):
            if isinstance(function, ast.FunctionDef):
                first = function.body[ast.get_docstring(function) is not None :][:1]
                length = function.end_lineno - first[0].lineno + 1 if first else 0
                assert length <= 40, f"{path}: {function.name} has {length} lines"
