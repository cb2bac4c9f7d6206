"""Finding recipes, networks, solvers, degradations, and reading settings from signatures."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import math
import re
import sys
import threading
import traceback
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ssl_restore.errors import UnknownName, UserError, WrongCall
from ssl_restore.io.fields import fits

if TYPE_CHECKING:
    from ssl_restore.types import Recipe, Task

_ROOT = Path(__file__).parent
_PARSER = threading.Lock()
_SINGULAR = {"calibration": "kind of calibration"}
RENAMED = {"dry": "rain_free", "rain_lr": "lr"}  # settings of version 0.1


def names(kind: str, defined: str = "build") -> list[str]:
    """The files of a kind (`recipes`, `networks`) that define a name, without importing any."""
    files = (_ROOT / kind).glob("*.py")
    return sorted(path.stem for path in files if _defines(defined, path))


def _parsed(path: Path) -> ast.Module:
    return _parsed_as_of(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _parsed_as_of(path: Path, changed_ns: int) -> ast.Module:
    with _PARSER:  # of Python 3.11, which several threads at once confuse
        return ast.parse(path.read_text(encoding="utf-8"))


def _defines(name: str, path: Path) -> bool:
    for node in _parsed(path).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return True
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return True
    return False


def task(name: str) -> Task:
    """A task by its name; `./mine.py` takes the one that a file of your own defines."""
    from ssl_restore.types import Task  # noqa: PLC0415  (which imports torch)

    found = getattr(_module("tasks", name, "task"), "task", None)
    if not isinstance(found, Task):
        raise UserError(f"{name}: defines no `task = Task(...)`")
    return found


def measure(name: str) -> Callable[..., dict[str, float]] | None:
    """What measures a task without a truth; None for the task of a recipe from outside."""
    return task(name).measure if name in names("tasks", "task") else None


def judge(name: str) -> Callable[..., Any] | None:
    """What says of two results for a picture which is worse; None for a task from outside."""
    stream = task(name).stream if name in names("tasks", "task") else None
    return stream.frames if stream is not None else None


def doubt(kind: str) -> Callable[..., str | None] | None:
    """What a kind of calibration says of the clean pictures; None: nothing."""
    found: Callable[..., str | None] | None = getattr(
        _module("calibration", kind, "calibrate"), "doubt", None
    )
    return found


def solver(name: str) -> Callable[..., Any]:
    """The `solve` of a file in `solvers`: by name, with hyphens as well, or by path."""
    plain = name if name.endswith(".py") else name.replace("-", "_")
    return builder("solvers", plain, "solve")


def solver_for(name: str, task: str) -> Callable[..., Any]:
    """The `solve` of a file in `solvers`; UserError where its TASKS are others than this one."""
    solve, plain = solver(name), name.replace("-", "_")
    if name.endswith(".py") or task in _tasks_of(plain):
        return solve
    theirs, known = ", ".join(_tasks_of(plain)), ", ".join(solvers_for(task))
    raise UserError(f"{plain} is for {theirs}; for {task}: {known or 'none'}", parameter="method")


def solvers_for(task: str) -> list[str]:
    """The files in `solvers` that name this task, without importing any."""
    return [name for name in names("solvers", "solve") if task in _tasks_of(name)]


def _tasks_of(solver: str) -> tuple[str, ...]:
    for node in _parsed(_ROOT / "solvers" / f"{solver}.py").body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "TASKS":
            found: tuple[str, ...] = ast.literal_eval(node.value)
            return found
    raise AttributeError(f"{solver} names no TASKS")


def summary(kind: str, name: str) -> str:
    """First line of a file's docstring, without importing it."""
    return (ast.get_docstring(_parsed(_ROOT / kind / f"{name}.py")) or "").split("\n", 1)[0]


def builder(kind: str, name: str, function: str = "build") -> Callable[..., Any]:
    """The `function` of a file of this kind; for recipes also of a path: `./mine.py`."""
    return _function_of(_module(kind, name, function), name, function)


def recipe(name: str, settings: Mapping[str, Any]) -> Recipe:
    """The recipe of that name or path; UserError for settings that it cannot take."""
    try:
        built: Recipe = builder("recipes", name)(**settings)
    except ValueError as error:  # of networks and optimizers
        raise UserError(
            f"recipe {name} cannot take these: {error}", parameter="settings"
        ) from error
    for player in built.players:
        for term, weight in player.weights.items():
            if not weight >= 0:
                raise UserError(
                    f"recipe {name}: the weight of {term} is {weight:g}; 0 or more is expected",
                    parameter="settings",
                )
    return built


def _module(kind: str, name: str, defined: str) -> ModuleType:
    if name.endswith(".py"):
        return _load_file(Path(name))
    known = names(kind, defined)
    if name not in known:
        raise UnknownName(_SINGULAR.get(kind, kind.rstrip("s")), name, known)
    return importlib.import_module(f"ssl_restore.{kind}.{name}")


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(f"own_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno}: {error.msg}") from error
    except Exception as error:  # whatever the file does
        line = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{path}:{line.lineno}" if line.filename == str(path) else str(path)
        raise UserError(f"{where}: {type(error).__name__}: {error}") from error
    return module


def _function_of(module: ModuleType, name: str, function: str) -> Callable[..., Any]:
    found = getattr(module, function, None)
    if not callable(found):
        raise UserError(f"{name}: defines no function `{function}`")
    return found


def degradations() -> dict[str, type[Any]]:
    """Every prior that `degradations.PRIORS` lists, by name.

    The name is that of the class in lower case: `haze`, `poisson-noise`.
    """
    from degradations import PRIORS  # noqa: PLC0415  # needs torch, which the other kinds do not

    priors = {re.sub(r"(?<=[a-z])(?=[A-Z])", "-", p.__name__).lower(): p for p in PRIORS}
    return dict(sorted(priors.items()))


def degradation(name: str) -> type[Any]:
    """The class of a prior by its name; `poisson_noise` does as well."""
    known = degradations()
    plain = name.replace("_", "-").lower()
    if plain not in known:
        raise UnknownName("degradation", name, known)
    return known[plain]


def degradation_summary(name: str) -> str:
    """First line of the file that the prior stands in."""
    module = sys.modules[degradation(name).__module__]
    return (module.__doc__ or "").split("\n", 1)[0]


def settings(build: Callable[..., Any]) -> dict[str, Any]:
    """Every setting of a `build` function, or of a prior, with its default."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(build).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }


def parse_settings(build: Callable[..., Any], pairs: Iterable[str]) -> dict[str, Any]:
    """`["lr=3e-4", "patch=32"]` -> {"lr": 3e-4, "patch": 32}, by the annotations of `build`.

    Of a dataclass the fields are read.
    """
    kinds = typing.get_type_hints(build)
    known = settings(build)
    parsed = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UserError(f"{pair!r}: write it as name=value", parameter="settings")
        _check_name(name, known)
        parsed[name] = _parse(name, text, kinds[name])
    return parsed


def checked_settings(build: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values themselves; UserError for an unknown name and a value of another type."""
    kinds, known = typing.get_type_hints(build), settings(build)
    for name, value in values.items():
        _check_name(name, known)
        kind = kinds[name]
        if not fits(value, kind):
            raise UserError(
                f"a value of type {getattr(kind, '__name__', kind)} is expected, got {value!r}",
                parameter=name,
            )
    return dict(values)


def _check_name(name: str, known: Mapping[str, Any]) -> None:
    if RENAMED.get(name) in known:
        raise WrongCall(f"the setting {name!r} is called {RENAMED[name]!r} now")
    if name not in known:
        raise UnknownName("setting", name, known)


def _parse(name: str, text: str, kind: Any) -> Any:
    try:
        if kind is bool:
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
                text.lower()
            ]
        if kind in (int, float, str):
            value = kind(text)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(text)
            return value
        if kind == tuple[str, ...]:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        value = ast.literal_eval(text)
        value = _as_tuple(value, kind) if typing.get_origin(kind) is tuple else value
        if not fits(value, kind):
            raise ValueError(text)
        return value
    except (KeyError, ValueError, SyntaxError, TypeError) as error:
        wanted = str(kind) if typing.get_origin(kind) else getattr(kind, "__name__", str(kind))
        raise UserError(f"{text!r}: expected a value of type {wanted}", parameter=name) from error


def _as_tuple(values: Any, kind: Any) -> tuple[Any, ...]:
    """`(1, 2)` by `tuple[float, float]` or `tuple[int, ...]`; numbers only where numbers go."""
    if not isinstance(values, (tuple, list)):
        raise TypeError(f"{values!r} is no tuple")
    kinds = typing.get_args(kind)
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(values)
    for value, wanted in zip(values, kinds, strict=True):
        if not isinstance(value, (int, float) if wanted is float else wanted):
            raise TypeError(f"{value!r} is no {wanted.__name__}")
    return tuple(wanted(value) for value, wanted in zip(values, kinds, strict=True))
