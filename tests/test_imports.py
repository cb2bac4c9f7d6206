"""Imports point one way: cli -> ssl_restore -> degradations -> torch and the standard library.

Within ssl_restore from tasks down to what all use, as LAYERS has it.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"degradations": "degradations", "ssl_restore": "ssl_restore", "cli": "ssl_restore_cli"}
LAYERS = (  # of ssl_restore, from below; what is not named here is the lowest
    {"networks", "objectives"},
    {"training", "inference", "calibration", "evaluation", "synthesis"},
    {"recipes", "solvers", "adapters"},
    {"tasks"},
    {"report"},
    {"ui"},
)


def sources():
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            module = ".".join((package, *(part for part in parts if part != "__init__")))
            yield pytest.param(module, path, id=module)


def imported(source, module, *, is_package=False):
    """Dotted names of all that the source imports, inside functions too; relative ones resolved."""
    home = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = home[: len(home) - node.level + 1] if node.level else []
            stem = [*base, *(node.module.split(".") if node.module else [])]
            yield from (".".join((*stem, alias.name)) for alias in node.names)


def within(name, package):
    return name == package or name.startswith(f"{package}.")


def layer(module):
    """Number of the layer of a module of ssl_restore."""
    part = (*module.split("."), "")[1]
    return next((n for n, parts in enumerate(LAYERS, start=1) if part in parts), 0)


def is_upward(module, name):
    top = name.split(".")[0]
    if name.endswith("__main__"):  # an entry point: it stands above all, so nobody imports it
        return True
    if module.endswith("__main__"):
        return False
    if within(module, "degradations"):
        return top not in {"degradations", "torch", *sys.stdlib_module_names}
    if within(module, "ssl_restore"):
        if top in {"ssl_restore_cli", "cli", "tests", "benchmarks"}:
            return True
        return top == "ssl_restore" and module != "ssl_restore" and layer(name) > layer(module)
    return top in {"cli", "tests", "benchmarks"}


@pytest.mark.parametrize(("module", "path"), list(sources()))
def test_imports_point_downwards(module, path):
    is_package = path.name == "__init__.py"
    names = imported(path.read_text(encoding="utf-8"), module, is_package=is_package)
    upward = [name for name in names if is_upward(module, name)]
    assert not upward, f"{path.relative_to(ROOT)} imports upwards: {', '.join(upward)}"


def test_every_layer_was_found():
    found = {param.id.split(".")[0] for param in sources()}
    assert {"degradations", "ssl_restore"} <= found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("degradations.rain", "import numpy"),
        ("degradations.rain", "from ssl_restore.rng import derive"),
        ("degradations.rain", "def f():\n    from ssl_restore import rng"),
        ("degradations.rain", "from ..ssl_restore import rng"),
        ("ssl_restore.training.data", "import ssl_restore_cli.main"),
        ("ssl_restore.training.data", "from cli import main"),
        ("ssl_restore.objectives.gan", "from ..recipes import derain"),
        ("ssl_restore.io.video", "from ssl_restore.inference import folders"),
        ("ssl_restore.solvers.prior", "from ssl_restore.tasks import derain"),
        ("ssl_restore.objectives.gan", "from ..training import fit"),
        ("ssl_restore.networks.unet", "from ssl_restore.training.run import Run"),
        ("ssl_restore_cli.main", "import cli.options"),
        ("ssl_restore_cli.main", "from ssl_restore import __main__"),
    ],
)
def test_an_upward_arrow_is_noticed(module, source):
    assert any(is_upward(module, name) for name in imported(source, module))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("degradations.rain", "import math\nfrom torch import Tensor\nfrom .types import Range"),
        (
            "ssl_restore.recipes.derain",
            "from ..training.fit import Player\nfrom degradations import rain",
        ),
        ("ssl_restore.objectives.gan", "from ..types import Batch\nfrom ..runes import x"),
        ("ssl_restore_cli.main", "from ssl_restore.training.fit import fit\nfrom . import options"),
        ("ssl_restore.__main__", "from ssl_restore_cli.main import main"),
    ],
)
def test_a_downward_arrow_is_allowed(module, source):
    assert not any(is_upward(module, name) for name in imported(source, module))
