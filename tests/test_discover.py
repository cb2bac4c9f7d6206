"""Recipes and networks by name, and settings by annotation."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

from degradations import PRIORS
from ssl_restore import discover
from ssl_restore.errors import UnknownName, UserError

ROOT = Path(discover.__file__).parent


def build(
    *, count: int = 1, rate: float = 0.1, on: bool = False, kind: str = "a",
    pair: tuple[float, float] = (0.0, 1.0), many: tuple[int, ...] = (1,), required: int,
):  # fmt: skip
    """Settings of each annotation."""


def parsed(*pairs):
    return discover.parse_settings(build, pairs)


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("count=32", 32), ("count=-1", -1), ("rate=3e-4", 3e-4), ("rate=2", 2.0),
        ("on=true", True), ("on=Yes", True), ("on=1", True),
        ("on=false", False), ("on=no", False), ("on=0", False),
        ("kind=literal", "literal"), ("kind=a=b", "a=b"), ("kind=", ""),
        ("pair=(0.9, 1.6)", (0.9, 1.6)), ("pair=1,2", (1.0, 2.0)), ("pair=[1, 2.5]", (1.0, 2.5)),
        ("many=(2, 2, 4)", (2, 2, 4)), ("many=3,", (3,)), ("many=()", ()),
    ],
)  # fmt: skip
def test_value_is_read_by_its_annotation(pair, value):
    (found,) = parsed(pair).values()
    assert found == value
    assert type(found) is type(value)
    if isinstance(value, tuple):
        assert list(map(type, found)) == list(map(type, value))


@pytest.mark.parametrize(
    ("pair", "wanted"),
    [
        ("count=1.5", "int"), ("count=x", "int"), ("count=", "int"), ("rate=fast", "float"),
        ("on=maybe", "bool"), ("on=2", "bool"), ("pair=1", "tuple"), ("pair=(1,2,3)", "tuple"),
        ("pair=ab", "tuple"), ("pair='ab'", "tuple"), ("pair=('a','b')", "tuple"),
        ("pair=(1,", "tuple"), ("many=(1.5,)", "tuple"), ("pair=__import__('os')", "tuple"),
    ],
)  # fmt: skip
def test_value_of_another_type_is_refused_with_the_type(pair, wanted):
    with pytest.raises(UserError) as error:
        parsed(pair)
    name, _, text = pair.partition("=")
    assert f"{name}: {text!r}: expected a value of type {wanted}" in str(error.value)


def test_later_value_of_a_setting_counts():
    assert parsed("count=1", "rate=2", "count=3") == {"count": 3, "rate": 2.0}


def test_setting_without_a_value_is_refused():
    with pytest.raises(UserError, match="settings: 'count': write it as name=value"):
        parsed("count")


def test_unknown_setting_names_the_nearest_and_all():
    with pytest.raises(UnknownName) as error:
        parsed("conut=3")
    assert str(error.value) == (
        "unknown setting 'conut': did you mean 'count'? known: count, kind, many, on, pair, rate"
    )


def test_setting_that_is_near_to_none_gets_the_list_alone():
    with pytest.raises(UnknownName, match=r"^unknown setting 'zzzz': known: count, "):
        parsed("zzzz=3")


def test_settings_are_those_with_a_default():
    assert list(discover.settings(build)) == ["count", "rate", "on", "kind", "pair", "many"]


@pytest.mark.parametrize(
    ("kind", "wrong", "nearest"),
    [("recipes", "derain_unpared", "derain_unpaired"), ("networks", "unett", "unet")],
)
def test_unknown_name_gets_the_nearest_and_the_list(kind, wrong, nearest):
    with pytest.raises(UnknownName) as error:
        discover.builder(kind, wrong)
    assert f"unknown {kind[:-1]} {wrong!r}: did you mean {nearest!r}?" in str(error.value)
    assert ", ".join(discover.names(kind)) in str(error.value)


@pytest.mark.parametrize("kind", ["recipes", "networks"])
def test_every_file_with_a_build_is_listed_and_no_other(kind):
    files = {path.stem for path in (ROOT / kind).glob("*.py") if "\ndef build(" in path.read_text()}
    assert set(discover.names(kind)) == files
    assert discover.names(kind) == sorted(files)
    assert len(files) >= 1


@pytest.mark.parametrize("name", discover.names("recipes"))
def test_summary_is_one_sentence(name):
    line = discover.summary("recipes", name)
    assert 20 < len(line) < 120
    assert line.rstrip().endswith((".", ":"))


def test_listing_imports_nothing():
    before = set(sys.modules)
    discover.names("recipes")
    discover.summary("recipes", "rrcl")
    assert set(sys.modules) == before


MINE = '''"""Mine."""
from __future__ import annotations
from dataclasses import dataclass

@dataclass(frozen=True)
class Prior:
    high: float = 1.0

def build(*, width: int = 8, pair: tuple[float, float] = (0.0, 1.0)):
    return Prior(width)
'''


def test_recipe_from_a_path(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    for name in ("./mine.py", "mine.py", str(tmp_path / "mine.py")):
        build = discover.builder("recipes", name)
        assert discover.parse_settings(build, ["width=16"]) == {"width": 16}
        assert build(width=16).high == 16


def test_recipe_path_that_is_missing_or_defines_no_build_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"none\.py: no such file"):
        discover.builder("recipes", str(tmp_path / "none.py"))
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(UserError, match=r"empty\.py: defines no function `build`"):
        discover.builder("recipes", str(tmp_path / "empty.py"))


def test_degradations_are_those_that_the_package_lists_by_their_names_in_order():
    listed = discover.degradations()
    assert list(listed) == sorted(listed)
    assert set(listed.values()) == set(PRIORS)
    assert listed["poisson-noise"].__name__ == "PoissonNoise"
    assert listed["rain-like"].__name__ == "RainLike"


def test_the_summary_of_a_degradation_is_the_first_line_of_its_file():
    for name in ("noise", "bernoulli-noise"):
        summary = discover.degradation_summary(name)
        assert summary == "Noise of light, electronics, lost and broken pixels."


def test_an_error_names_its_parameter():
    error = UserError("at least 1 is expected, got 0", parameter="frames")
    assert str(error) == "frames: at least 1 is expected, got 0"
    assert (error.message, error.parameter) == ("at least 1 is expected, got 0", "frames")
    plain = UserError("no such file")
    assert (str(plain), plain.message, plain.parameter) == ("no such file", "no such file", None)
    assert UnknownName("preset", "a", ["b"]).parameter is None


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_a_setting_that_is_not_finite_is_refused(text):
    with pytest.raises(UserError, match="rate: "):
        parsed(f"rate={text}")
    build = discover.builder("recipes", "derain_unpaired")
    with pytest.raises(UserError, match="lr: a value of type float is expected"):
        discover.checked_settings(build, {"lr": float(text)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def build(:", r"mine\.py:1: invalid syntax"),
        ("import no_such_module", r"mine\.py:1: ModuleNotFoundError: No module named"),
        ("1 / 0", r"mine\.py:1: ZeroDivisionError"),
        ("x = 1", r"mine\.py: defines no "),
    ],
)
@pytest.mark.parametrize("kind", ["recipe", "task"])
def test_a_file_of_ones_own_that_fails_is_named_with_the_line(tmp_path, text, message, kind):
    path = tmp_path / "mine.py"
    path.write_text(text)
    load = discover.task if kind == "task" else partial(discover.builder, "recipes")
    with pytest.raises(UserError, match=message):
        load(str(path))
