"""Too little memory: tiles are halved, to the same result, and where none fits one line says so."""

from __future__ import annotations

import ctypes
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from deraining import refused
from tiny import pixels, random_restorer, save_restorer, write_photo

from ssl_restore.inference import tiles

M_MMAP_THRESHOLD = -3  # of the GNU C library's malloc.h


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_restorer(tmp_path_factory.mktemp("weights") / "restorer.safetensors")


def in_little_memory(path):
    """In this process, with so little that the usual tiles do not fit."""
    torch.set_num_threads(1)
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 20)  # what is freed is free for code, too
    picture, restorer = pixels(1600, 2000), random_restorer(width=8)
    tiles.restore(restorer, picture[:256, :256], tile=64)  # what is taken at first
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000,) * 2)
    np.save(path, tiles.restore(restorer, picture, tile=0))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_a_tile_without_memory_is_halved_to_the_same_result(tmp_path, processes):
    process = processes(in_little_memory, tmp_path / "little.npy")
    right = tiles.restore(random_restorer(width=8), pixels(1600, 2000))
    process.join()
    assert process.exitcode == 0
    assert np.abs(np.load(tmp_path / "little.npy").astype(int) - right).max() <= 1


class NoRoom(torch.nn.Module):
    """A hook: no memory for more than so many pixels."""

    def __init__(self, most):
        super().__init__()
        self.most, self.refused, self.done = most, [], []

    def __call__(self, module, given):
        area = given[0].shape[2] * given[0].shape[3]
        (self.refused if area > self.most else self.done).append(area)
        if area > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("tile", [None, 0, 128])
@pytest.mark.parametrize("in_place", [False, True])
def test_halved_tiles_cover_the_picture_once_and_large_ones_are_not_tried_again(
    monkeypatch, tile, in_place
):
    monkeypatch.setattr(tiles, "TILES_AT_ONCE", 1)  # two at once may be refused both
    restorer, picture = random_restorer(), pixels(300, 421)
    right = tiles.restore(restorer, picture, tile=0)
    hook, covered = NoRoom(16_000), []
    restorer.register_forward_pre_hook(hook)
    found = tiles.restore(
        restorer, picture.copy(), tile=tile, in_place=in_place, progress=covered.append
    )
    assert np.abs(found.astype(int) - right).max() <= 1
    assert sum(covered) == 300 * 421
    assert hook.refused == sorted({*hook.refused}, reverse=True)
    assert len(hook.refused) < len(hook.done)


def test_memory_that_no_tile_finds_is_one_line(tiny, tmp_path, monkeypatch):
    def nothing(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(tiles, "_apply", nothing)
    line = refused(write_photo(tmp_path / "a.png"), tmp_path / "b.png", "--weights", tiny)
    assert "a.png: out of memory" in line
