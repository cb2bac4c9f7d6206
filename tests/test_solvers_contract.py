"""What every solver promises.  A new file in solvers/ with a `solve` is tested at once."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from ssl_restore import discover, rng, solvers
from ssl_restore.errors import UnknownName
from ssl_restore.networks import denoiser

NAMES = solvers.names()
COMMON = {"generator", "steps", "seconds", "progress", "notify"}
SMALL = {"steps": 2, "width": 8, "batch": 2, "patch": 32, "precision": "fp32"}
each = pytest.mark.parametrize("name", NAMES)


def small_restorer():
    torch.manual_seed(0)
    restorer = denoiser.build(width=4, blocks=(1, 1)).eval()
    with torch.no_grad():
        for weight in restorer.parameters():
            weight.add_(0.05 * torch.randn(weight.shape))
    return restorer


def settings(name, **changes):
    """Small ones, of those that the solver has; a restorer where it takes one."""
    known = discover.settings(solvers.solver(name))
    found = {key: value for key, value in (SMALL | changes).items() if key in known}
    return found | ({"restorer": small_restorer()} if "restorer" in known else {})


def picture(height=72, width=80, seed=0):
    """Waves with noise of 0.1, beyond black and white in places."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = 0.5 + 0.4 * torch.stack([(rows / 9 + k).sin() * (columns / 13).cos() for k in range(3)])
    draws = torch.Generator().manual_seed(seed)
    return (waves + 0.1 * torch.randn(3, height, width, generator=draws))[None]


def solve(name, image, seed=0, **changes):
    return solvers.solver(name)(
        image, generator=rng.derive(seed, "solve"), **settings(name, **changes)
    )


def test_every_file_with_a_solve_is_listed_and_no_other():
    folder = Path(solvers.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if "\ndef solve(" in path.read_text()}
    assert set(NAMES) == files
    assert sorted(files) == NAMES
    assert solvers.DEFAULT in NAMES


def test_listing_imports_nothing():
    before = set(sys.modules)
    solvers.names()
    assert set(sys.modules) == before


def test_unknown_name_gets_the_nearest_and_the_list():
    with pytest.raises(UnknownName, match="unknown solver 'deep_image_pior': did you mean 'deep_i"):
        solvers.solver("deep_image_pior")
    assert solvers.solver("deep-image-prior") is solvers.solver("deep_image_prior")


@each
def test_signature_is_an_image_and_annotated_keywords(name):
    parameters = inspect.signature(solvers.solver(name)).parameters
    image, *others = parameters.values()
    assert (image.name, image.kind) == ("image", image.POSITIONAL_OR_KEYWORD)
    assert all(other.kind is other.KEYWORD_ONLY for other in others)
    assert all(other.annotation is not other.empty for other in parameters.values())
    assert set(parameters) >= COMMON
    required = {other.name for other in others if other.default is other.empty}
    assert required == {"generator"}
    assert parameters["seconds"].default is None
    assert "`steps`" in inspect.getdoc(solvers.solver(name))


@each
def test_summary_is_one_sentence(name):
    line = discover.summary("solvers", name)
    assert 20 < len(line) < 120
    assert line.endswith((".", ":"))


@each
@pytest.mark.parametrize("size", [(72, 80), (65, 91), (5, 7), (1, 1), (2, 70)])
def test_clean_has_the_shape_of_the_picture_and_is_finite(name, size):
    image = picture(*size)
    kept = image.clone()
    layers = solve(name, image)
    assert "clean" in layers
    for layer in layers.values():
        assert layer.shape == image.shape
        assert layer.dtype == torch.float32
        assert layer.isfinite().all()
        assert not layer.requires_grad
    assert torch.equal(image, kept)


@each
def test_same_generator_gives_the_same_bits_and_another_one_not(name):
    image = picture()
    one, again, other = (solve(name, image, seed)["clean"] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@each
def test_global_stream_is_left_alone(name):
    image, before = picture(), torch.get_rng_state()
    changes = settings(name)
    torch.set_rng_state(before)
    solvers.solver(name)(image, generator=rng.derive(0, "solve"), **changes)
    assert torch.equal(torch.get_rng_state(), before)


@each
def test_shares_rise_to_one_and_seconds_end_a_run(name):
    shares = []
    solve(name, picture(), steps=1_000_000, seconds=0.2, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 1
    assert 2 <= len(shares) < 1000


@each
@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_constant_picture_stays_finite(name, value):
    layers = solve(name, torch.full((1, 3, 64, 64), value))
    assert layers["clean"].isfinite().all()


@each
def test_a_restorer_that_is_given_stays_as_it_was(name):
    changes = settings(name)
    if "restorer" not in changes:
        pytest.skip("takes none")
    restorer: nn.Module = changes["restorer"]
    before = {key: value.clone() for key, value in restorer.state_dict().items()}
    solvers.solver(name)(picture(), generator=rng.derive(0, "solve"), **changes)
    assert all(torch.equal(value, before[key]) for key, value in restorer.state_dict().items())
    assert all(weight.grad is None for weight in restorer.parameters())
