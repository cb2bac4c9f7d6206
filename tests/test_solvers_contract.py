"""What every solver promises.  A new file in solvers/ with a `solve` is tested at once.

A solver promises what its signature takes: randomness, a restorer to start from, steps, progress
calls; all promise layers of the picture's size.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from tiny import random_restorer

from ssl_restore import discover, rng, solvers
from ssl_restore.errors import UnknownName, UserError
from ssl_restore.networks import denoiser
from ssl_restore_cli.main import main

NAMES = discover.names("solvers", "solve")
KNOWN = {  # keywords that mean the same in all solvers
    "generator", "restorer", "steps", "seconds", "progress", "notify", "tile", "precision",
}  # fmt: skip
REFUSING = {"blind_deblur", "relight"}  # tiny pictures, those without edges; without a mask
SMALL = {"steps": 2, "width": 8, "batch": 2, "patch": 32, "precision": "fp32"}
TOY = '''
"""Splits a picture into what is above its mean and what is below."""


def solve(image, *, sharpness: float = 10.0):
    """Layers `mask` and `mean`. Settings: `sharpness` of the mask."""
    mean = image.mean(dim=(1, 2, 3), keepdim=True).expand_as(image)
    return {"mask": (sharpness * (image - mean).mean(dim=1, keepdim=True)).sigmoid(), "mean": mean}
'''


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("solvers") / "halves.py"
    path.write_text(TOY)
    return str(path)


@pytest.mark.parametrize("name", NAMES)
def test_its_tasks_have_commands_and_others_refuse_it(name, toy):
    module = importlib.import_module(f"ssl_restore.solvers.{name}")
    assert module.TASKS
    assert set(module.TASKS) <= set(main.list_commands(None))
    for task in module.TASKS:
        assert discover.solver_for(name, task) is module.solve
    with pytest.raises(UserError, match=f"{name} is for {module.TASKS[0]}"):
        discover.solver_for(name, "export")
    assert discover.solver_for(toy, "export")


def test_those_for_a_task_are_named(tmp_path, pictures):
    hazy, target = str(pictures("hazy", 1) / "0.png"), tmp_path / "out.png"
    result = CliRunner().invoke(main, ["dehaze", hazy, str(target), "--method", "blind-deblur"])
    assert result.exit_code != 0
    assert "blind_deblur is for deblur; for dehaze: dark_channel, double_dip" in result.stderr
    assert not target.exists()


@pytest.fixture(params=[*NAMES, "toy"])
def solve(request, toy):
    """The function of each solver, of the one from outside too."""
    return discover.solver(toy if request.param == "toy" else request.param)


def taking(*keywords):
    """Only for the solvers that take all these."""

    def skip_others(solve):
        missing = set(keywords) - set(inspect.signature(solve).parameters)
        if missing:
            pytest.skip(f"takes no {', '.join(sorted(missing))}")

    return skip_others


def solved(solve, image):
    """Its layers. A solver may refuse a picture that tells it nothing, in words."""
    try:
        return solve(image, **settings(solve))
    except UserError as error:
        if solve.__module__.rpartition(".")[2] not in REFUSING:
            raise
        pytest.skip(f"refused: {error}")


def small_restorer(task):
    if task == "derain":
        return random_restorer(strength=0.05).eval()
    torch.manual_seed(0)
    restorer = denoiser.build(width=4, blocks=(1, 1)).eval()
    with torch.no_grad():
        for weight in restorer.parameters():
            weight.add_(0.05 * torch.randn(weight.shape))
    return restorer


def masked(solve, image):
    """Its settings, with a mask where it needs one."""
    given = settings(solve)
    if solve.__module__.endswith(".relight"):
        given["mask"] = torch.zeros(1, 1, *image.shape[-2:], dtype=torch.bool)
        given["mask"][..., 20:50, 25:60] = True
    return given


def settings(solve, seed=0, **changes):
    """Small ones, of those that the solver has."""
    parameters = inspect.signature(solve).parameters
    known = {key: value for key, value in (SMALL | changes).items() if key in parameters}
    if "generator" in parameters:
        known["generator"] = rng.derive(seed, "solve")
    if "restorer" in parameters:
        known["restorer"] = small_restorer("derain" if "rerained" in solve.__module__ else "")
    return known


def picture(height=72, width=80, seed=0):
    """Waves with noise of 0.1, beyond black and white in places."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = 0.5 + 0.4 * torch.stack([(rows / 9 + k).sin() * (columns / 13).cos() for k in range(3)])
    draws = torch.Generator().manual_seed(seed)
    return (waves + 0.1 * torch.randn(3, height, width, generator=draws))[None]


def test_every_file_with_a_solve_is_listed_and_no_other():
    folder = Path(solvers.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if "\ndef solve(" in path.read_text()}
    assert sorted(files) == NAMES


def test_listing_imports_nothing():
    before = set(sys.modules)
    discover.names("solvers", "solve")
    assert set(sys.modules) == before


def test_unknown_name_gets_the_nearest_and_the_list():
    with pytest.raises(UnknownName, match="unknown solver 'deep_image_pior': did you mean 'deep_i"):
        discover.solver("deep_image_pior")
    assert discover.solver("deep-image-prior") is discover.solver("deep_image_prior")


def test_signature_is_an_image_and_annotated_keywords(solve):
    image, *others = inspect.signature(solve).parameters.values()
    assert (image.name, image.kind) == ("image", image.POSITIONAL_OR_KEYWORD)
    assert all(other.kind is other.KEYWORD_ONLY for other in others)
    required = {other.name for other in others if other.default is other.empty}
    assert required <= {"generator"}
    text = inspect.getdoc(solve)
    for other in others:
        assert other.annotation is not other.empty, other.name
        assert other.name in KNOWN or f"`{other.name}`" in text, other.name


@pytest.mark.parametrize("name", NAMES)
def test_summary_is_one_sentence(name):
    line = discover.summary("solvers", name)
    assert 20 < len(line) < 120
    assert line.endswith((".", ":"))


@pytest.mark.parametrize("size", [(72, 80), (65, 91), (5, 7), (1, 1), (2, 70)])
def test_layers_have_the_size_of_the_picture_and_are_finite(solve, size):
    image = picture(*size)
    given = image.clone()
    layers = solved(solve, image)
    assert layers
    for name, layer in layers.items():
        assert layer.shape[1] in (1, 3)
        assert (len(layer), *layer.shape[2:]) == (
            1,
            *(layer.shape[2:] if name == "kernel" else size),
        )
        assert layer.dtype == torch.float32
        assert layer.isfinite().all()
        assert not layer.requires_grad
    assert torch.equal(image, given)


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_a_constant_picture_gives_finite_layers(solve, value):
    layers = solved(solve, torch.full((1, 3, 64, 64), value))
    assert all(layer.isfinite().all() for layer in layers.values())


def test_the_same_call_gives_the_same_bits(solve):
    image = picture()
    one, again = (solve(image, **masked(solve, image)) for _ in range(2))
    assert one.keys() == again.keys()
    assert all(torch.equal(layer, again[name]) for name, layer in one.items())


def test_another_generator_gives_another_result(solve):
    taking("generator", "steps")(solve)
    side = 192 if "rerained" in solve.__module__ else 80  # which measures no smaller one
    image = picture(side, side)
    one, other = (solve(image, **settings(solve, seed))["clean"] for seed in (1, 2))
    learned = not torch.equal(one, other)
    assert learned or "rerained" in solve.__module__  # its guard may keep the start


def test_the_global_stream_is_left_alone(solve):
    image = picture()
    changes = masked(solve, image)
    before = torch.get_rng_state()
    solve(image, **changes)
    assert torch.equal(torch.get_rng_state(), before)


def test_shares_rise_to_one_and_seconds_end_a_run(solve):
    taking("steps", "seconds", "progress")(solve)
    if "rerained" in solve.__module__:
        pytest.skip("gives steps or seconds, and is tested in test_rerained_fine_tuning.py")
    shares = []
    solve(picture(), **settings(solve, steps=1_000_000, seconds=0.2, progress=shares.append))
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert shares[-1] == 1
    assert 2 <= len(shares) < 1000


def test_a_restorer_that_is_given_stays_as_it_was(solve):
    taking("restorer")(solve)
    changes = settings(solve)
    restorer = changes["restorer"]
    before = {key: value.clone() for key, value in restorer.state_dict().items()}
    solve(picture(), **changes)
    assert all(torch.equal(value, before[key]) for key, value in restorer.state_dict().items())
    assert all(weight.grad is None for weight in restorer.parameters())
