"""Pictures of one scene are recognised and kept together."""

from __future__ import annotations

import json
from collections import Counter

import cv2
import numpy as np
import pytest

from ssl_restore.errors import UserError
from ssl_restore.evaluation.scenes import parts, scenes


def photo(seed, height=80, width=120):
    """Blobs of random colour, all of their own place."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 10, width // 10, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def test_copies_noise_and_crops_of_one_scene_are_found_and_other_scenes_are_not():
    one, other = photo(0), photo(1)
    noisy = (one + np.random.default_rng(2).normal(0, 4, one.shape)).clip(0, 255).astype(np.uint8)
    found = scenes(
        {"a": one, "b": other, "c": noisy, "d": one[8:76, 10:110], "e": photo(3, 120, 80)}, None
    )
    assert found[0] == found[2] == found[3]
    assert len(set(found)) == 3


def test_flat_pictures_tell_no_scene():
    flat = np.full((80, 120, 3), 100, np.uint8)
    assert len(set(scenes({"a": flat, "b": photo(0), "c": flat + 50}, None))) == 3


def test_a_file_names_the_scenes(tmp_path):
    path = tmp_path / "scenes.json"
    path.write_text(json.dumps({"a": 1, "b": 1, "c": 2}))
    assert scenes({name: photo(0) for name in "abc"}, path) == ["1", "1", "2"]
    with pytest.raises(UserError, match="names no scene for d"):
        scenes({name: photo(0) for name in "abcd"}, path)


def test_parts_are_even_and_divide_no_scene():
    scene = list("aaabbccddeefghij")
    part = parts(scene, 5, seed=0)
    assert sorted(Counter(part).values()) == [3, 3, 3, 3, 4]
    assert all(len({p for p, s in zip(part, scene, strict=True) if s == one}) == 1 for one in scene)
    assert part == parts(scene, 5, seed=0)
    assert part != parts(scene, 5, seed=1)


def test_one_scene_cannot_be_divided():
    with pytest.raises(UserError, match="two scenes"):
        parts(["a", "a"], 5, seed=0)
