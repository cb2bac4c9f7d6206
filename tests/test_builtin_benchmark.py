"""benchmarks/builtin.py: what a batch becomes that is learned from more than once."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import builtin

from ssl_restore.types import Batch


@pytest.fixture
def drawn():
    """Batches that hold their number and one corner that is marked."""

    def batches():
        for number in range(10_000):
            picture = torch.zeros(1, 1, 2, 3 - 1)
            picture[..., 0, 0] = number + 1
            yield Batch(picture, 2 * picture)

    return list(islice(builtin.repeated(batches(), 3, torch.Generator().manual_seed(0)), 6000))


def test_every_batch_comes_about_so_many_times_far_from_itself(drawn):
    numbers = [int(pair.clean.max()) for pair in drawn]
    early = [count for number, count in Counter(numbers).items() if number < 1500]
    assert sum(early) / 1500 == pytest.approx(3, rel=0.1)
    same = sum(a == b for a, b in pairwise(numbers)) / len(numbers)
    assert same < 3 / builtin.POOL


def test_pictures_of_a_batch_are_turned_alike_and_to_all_sides(drawn):
    corners = Counter(tuple((pair.clean[0, 0] > 0).nonzero()[0].tolist()) for pair in drawn)
    assert len(corners) == 4
    assert min(corners.values()) > len(drawn) / 5
    assert all(torch.equal(2 * pair.clean, pair.degraded) for pair in drawn)
