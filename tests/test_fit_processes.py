"""Pictures of a run, and two processes that share one."""

from __future__ import annotations

import os
import socket
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from conftest import save_pictures
from learning import CPU, both, plan_for, random_batch, same, small_recipe

from ssl_restore import device
from ssl_restore.errors import UserError
from ssl_restore.training import session
from ssl_restore.training.fit import fit
from ssl_restore.training.run import Run


def test_pictures_that_cannot_be_used_are_named_by_the_job(pictures):
    rainy, clean = pictures("rainy"), pictures("clean")
    (rainy / "cut.png").write_bytes((rainy / "0.png").read_bytes()[:60])
    job = session.prepare(plan_for(rainy, clean), rainy.parent / "run", CPU)
    assert len(job.skipped) == 1
    assert "cut.png" in job.skipped[0]
    assert len(job.pictures["degraded"].pixels) == 3


def test_folder_of_rainy_pictures_as_clean_ones_is_refused(pictures):
    rainy = pictures("rainy")
    alias = rainy.parent / "alias"
    alias.symlink_to(rainy)
    for clean in (rainy, alias, rainy / ".." / "rainy"):
        with pytest.raises(UserError, match="is the folder of degraded pictures"):
            session.prepare(plan_for(rainy, clean), rainy.parent / "run", CPU)


def test_folder_of_too_small_pictures_is_refused_with_the_remedy(pictures):
    rainy, clean = pictures("rainy", size=(12, 40)), pictures("clean")
    with pytest.raises(UserError, match=r"no picture there can be used.*40x12.*patch=24"):
        session.prepare(plan_for(rainy, clean), rainy.parent / "run", CPU)
    assert not (rainy.parent / "run").exists()


def in_a_group(rank, port, folder):
    """One of two processes, as torchrun starts them."""
    torch.set_num_threads(1)
    os.environ.update(RANK=f"{rank}", LOCAL_RANK=f"{rank}", WORLD_SIZE="2",
                      MASTER_ADDR="127.0.0.1", MASTER_PORT=f"{port}")  # fmt: skip
    chosen = device.start("cpu")

    # The gradient is the mean over both: loss = scale * (rank + 1) / 10 * 3.
    recipe = small_recipe(lambda out, batch: both(recipe)[0].scale * 0.3 * (rank + 1), lr=1.0)
    next(fit(recipe, random_batch, seed=0, steps=1))
    found = {"scale": both(recipe)[0].scale.item()}

    job = session.prepare(plan_for(folder / "rainy", folder / "clean"), folder / "run", chosen)
    first = session._draw(job, 0, 0.0)
    list(session.train(job))
    nets = (job.recipe.restorer, job.recipe.ema)
    found["nets"] = [dict(net.named_parameters()) for net in nets]
    found["patches"] = first.clean

    ticks = iter(range(0, 10**6, 1 + 2 * rank))  # the second clock is three times as fast
    sys.modules["ssl_restore.training.fit"].time = SimpleNamespace(monotonic=lambda: next(ticks))
    timed = plan_for(folder / "rainy", folder / "clean", steps=None, seconds=10.0)
    job = session.prepare(timed, folder / "timed", chosen)
    rows = list(session.train(job))
    found["timed"] = [(row.step, row.lr) for row in rows]
    torch.save(found, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def group(tmp_path_factory, processes):
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("group")
    save_pictures(folder / "rainy", 3, seed=1)
    save_pictures(folder / "clean", 3, seed=2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [processes(in_a_group, rank, port, folder) for rank in range(2)]
    for process in both:
        process.join(180)
    for process in both:
        process.kill()
    assert [process.exitcode for process in both] == [0, 0]
    found = [torch.load(folder / f"{rank}.pt") for rank in range(2)]
    return folder, found


def test_two_processes_step_by_the_mean_gradient(group):
    for found in group[1]:
        assert found["scale"] == pytest.approx(1 - 0.45 / 50)  # mean of 0.3 and 0.6, first rate


def test_two_processes_end_with_the_same_weights(group):
    one, other = (found["nets"] for found in group[1])
    assert all(same(a, b) for a, b in zip(one, other, strict=True))


def test_two_processes_see_different_patches(group):
    one, other = (found["patches"] for found in group[1])
    assert not torch.equal(one, other)


def test_two_processes_write_one_run(group):
    folder, _ = group
    steps = [row.split(",")[0] for row in (folder / "run" / "log.csv").read_text().split()]
    assert Counter(steps) == Counter(["step", "1", "2", "3", "4"])
    assert Run(folder / "run").plan().steps == 4


def test_two_processes_on_a_clock_stop_at_the_same_step(group):
    one, other = (found["timed"] for found in group[1])
    assert one == other
    assert len(one) == 5  # two looks at the clock a step
