"""What every task promises.  A new file in tasks/ is tested at once; so is one from outside."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from moving import scene

import ssl_restore_cli
from degradations.sensor import quantise
from ssl_restore import discover, rng, weights
from ssl_restore.errors import UnknownName, UserError
from ssl_restore.inference.load import load_restorer
from ssl_restore.io import images
from ssl_restore.networks import denoiser
from ssl_restore.restorer import SQUARE
from ssl_restore.training import checkpoint
from ssl_restore.types import Batch

CPU = torch.device("cpu")
NAMES = discover.names("tasks", "task")
each = pytest.mark.parametrize("name", NAMES)
ENLARGING = {"upscale"}  # which has no stream, no calibration and no measure without a truth
WITHOUT_STREAM = ENLARGING | {"deblur", "dedrop", "deshadow"}
WITHOUT_WEIGHTS = {"deblur", "deshadow"}  # whose command runs its solver
each_built_in = pytest.mark.parametrize("name", sorted(set(NAMES) - WITHOUT_WEIGHTS))
each_streamed = pytest.mark.parametrize("name", sorted(set(NAMES) - WITHOUT_STREAM))

TOY = '''
"""Pictures that came out negative are inverted back."""

import numpy as np

from degradations.noise import Noise
from ssl_restore.adapters.noise_of_frames import NOISE
from ssl_restore.types import Task


def brightness_left(degraded, restored):
    return {"brightness_left": float(restored.mean()) / float(degraded.mean())}


task = Task(
    name="invert", recipe="neighbor2neighbor", solver="recorrupted_fine_tuning",
    adapter="frame2frame", calibration="noise", prior=Noise,
    baseline=("negative", lambda pixels: np.iinfo(pixels.dtype).max - pixels),
    measure=brightness_left, stream=NOISE,
)
'''
TOY_COMMAND = """
import click

from ssl_restore_cli import restoration


@click.command()
@restoration.arguments
def command(**given):
    restoration.restore_files("invert", restoration.Files(**given))
"""


def picture(side=192, seed=0):
    return (255 * scene(side, side, seed=seed)).round().astype(np.uint8)


def degraded_by(prior, clean, seed=0):
    image = images.to_tensor(clean)
    params = prior.sample(tuple(image.shape), rng.derive(seed, "task"))
    return images.to_pixels(quantise(prior.apply(image, params)), clean)


def test_the_tasks_are_found_without_importing_any():
    assert {"derain", "denoise"} <= set(NAMES)


@each
def test_settings_of_its_solver_are_known_to_it(name):
    task = discover.task(name)
    assert set(task.solver_settings) <= set(discover.settings(discover.solver(task.solver)))


@each
def test_its_name_is_that_of_its_file_and_its_command(name):
    assert discover.task(name).name == name
    assert (Path(ssl_restore_cli.__file__).parent / f"{name}.py").is_file()
    assert discover.task(name).built_in == (name not in WITHOUT_WEIGHTS)


@each_built_in
def test_its_name_is_that_of_its_weights(name):
    assert weights.built_in(name).is_file()
    assert checkpoint.read_header(weights.built_in(name)).task == name


def test_a_quality_takes_the_smaller_network_where_there_is_one():
    for name in sorted(set(NAMES) - WITHOUT_WEIGHTS):
        fast, good, best = (
            sum(
                p.numel() for p in load_restorer(None, CPU, task=name, quality=quality).parameters()
            )
            for quality in ("fast", "good", "best")
        )
        assert (fast < 0.6 * good) if name in weights.SMALLER else fast == good
        assert best == good
    assert load_restorer(None, CPU, task=name).symmetry == discover.task(name).symmetry


@each
def test_what_it_names_exists_and_is_of_its_task(name):
    task = discover.task(name)
    assert discover.builder("recipes", task.recipe)().task == name
    assert callable(discover.solver(task.solver))
    assert bool(task.adapter) == (task.stream is not None) == (name not in WITHOUT_STREAM)
    if task.adapter:
        assert callable(discover.builder("adapters", task.adapter)(task.stream))
    assert bool(task.calibration) == (name not in WITHOUT_STREAM)
    if task.calibration:
        assert callable(discover.builder("calibration", task.calibration, "calibrate"))
    assert {0} <= set(task.symmetry) <= set(SQUARE)


@each
def test_the_classical_filter_keeps_size_and_type_and_does_something(name):
    title, baseline = discover.task(name).baseline
    given = degraded_by(discover.task(name).prior(), picture(seed=1), 1)
    filtered = baseline(given)
    assert title
    assert (filtered.shape, filtered.dtype) == (given.shape, given.dtype)
    assert np.array_equal(filtered, given) == (name in ENLARGING)  # by cubic interpolation


@each_streamed
def test_measures_without_a_truth_are_one_for_the_input_and_less_for_the_clean_picture(name):
    task = discover.task(name)
    clean = picture()
    given = next(
        g for g in (degraded_by(task.prior(), clean, seed) for seed in range(9))
        if np.abs(g.astype(int) - clean).mean() > 2
    )  # fmt: skip
    unchanged, best = task.measure(given, given), task.measure(given, clean)
    assert unchanged.keys() == best.keys()
    assert all(math.isnan(share) or share == pytest.approx(1) for share in unchanged.values())
    main = next(iter(best))
    assert best[main] < 0.5


@each
def test_measures_of_a_tiny_picture_are_numbers_or_none(name):
    tiny = picture()[:9, :7]
    assert all(isinstance(v, float) for v in discover.task(name).measure(tiny, tiny).values())


@each_streamed
def test_an_adapter_learns_to_undo_what_the_frames_show(name):
    task = discover.task(name)
    restorer = load_restorer(None, CPU, task=name, trainable=True)
    frames, given = task.stream.frames(restorer), []
    assert frames.prior is None
    for seed in range(6):
        given = degraded_by(task.prior(), picture(seed=seed), seed)
        try:
            frames.measure("frame", given)
        except UserError:  # this one does not show it
            continue
    assert frames.prior is not None
    undoing = task.stream.undo(restorer, restorer, task.stream.prior)
    undoing.objective.prior = frames.prior
    patches = torch.rand(2, 3, 64, 64)
    terms = undoing.objective(Batch(patches, patches, warm=True), rng.derive(0, "undo"))
    assert terms.keys() == undoing.weights.keys()
    assert all(torch.isfinite(term) for term in terms.values())
    reason = frames.rejected_reason(given, given, given)
    assert reason is None


@pytest.mark.parametrize("name", sorted(WITHOUT_WEIGHTS))
def test_without_built_in_weights_the_solver_is_named(name):
    with pytest.raises(UserError, match=f"no restorer is built in for the task '{name}'; give the"):
        load_restorer(None, CPU, task=name)


def test_an_unknown_task_gets_the_nearest():
    with pytest.raises(UnknownName, match="unknown task 'derains': did you mean 'derain'"):
        discover.task("derains")


@pytest.fixture
def toy(tmp_path):
    """A task and its command, a file each, and weights of the task."""
    (tmp_path / "invert.py").write_text(TOY)
    (tmp_path / "command.py").write_text(TOY_COMMAND)
    net = denoiser.build(width=4, blocks=(1,))
    checkpoint.save(
        tmp_path / "w.safetensors", net,
        checkpoint.Header("invert", "denoiser", {"width": 4, "blocks": (1,)}),
    )  # fmt: skip
    images.write(tmp_path / "in.png", images.Picture(picture(64)))
    return tmp_path


def test_a_task_from_outside_is_one_file_and_its_command_another(toy):
    task = discover.task(str(toy / "invert.py"))
    assert task.name == "invert"
    command = discover._load_file(toy / "command.py").command
    given = [str(toy / "in.png"), str(toy / "out.png"), "--weights", str(toy / "w.safetensors")]
    result = CliRunner().invoke(command, given)
    assert result.exit_code == 0, result.output
    restored = images.read(toy / "out.png").pixels
    assert np.array_equal(restored, picture(64))  # an untrained network returns its input


def test_weights_of_a_task_from_outside_are_refused_by_the_others(toy):
    from ssl_restore_cli.main import main  # noqa: PLC0415

    given = [str(toy / "in.png"), str(toy / "out.png"), "--weights", str(toy / "w.safetensors")]
    result = CliRunner().invoke(main, ["denoise", *given])
    assert result.exit_code == 1
    assert "weights of the task invert, not of denoise" in result.stderr


def test_a_task_from_outside_adapts_and_is_evaluated_by_its_own_filter(toy):
    from ssl_restore_cli.main import main  # noqa: PLC0415

    for folder in ("frames", "clean"):
        (toy / folder).mkdir()
        for number in range(2):
            images.write(toy / folder / f"{number}.png", images.Picture(picture(64, seed=number)))
    own = ["--task", str(toy / "invert.py"), "--weights", str(toy / "w.safetensors")]
    result = CliRunner().invoke(main, ["evaluate", str(toy / "frames"), str(toy / "clean"), *own])
    assert result.exit_code == 0, result.output
    assert "negative" in result.stdout
    adapt = ["adapt", str(toy / "frames"), str(toy / "out"), *own, "--steps", "1"]
    settings = ["--set", "batch=2", "--set", "patch=16", "--method", "restore_from_restored"]
    result = CliRunner().invoke(main, [*adapt, *settings])
    assert result.exit_code == 0, result.output
    assert len(list((toy / "out").iterdir())) == 2
