"""Flow between frames, and where it is believed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from moving import frames, scene, with_noise

from ssl_restore.calibration import motion

INNER = (slice(12, -12), slice(12, -12))


def greys(given):
    return [motion.grey(frame) for frame in given]


@pytest.mark.parametrize("step", [1, 3])
def test_flow_of_a_moving_camera_is_its_motion(step):
    a, b = greys(frames(2, step=step))
    there, back = motion.flows(a, b)
    assert np.abs(np.median(there[INNER], axis=(0, 1)) - (-step, 0)).max() < 0.1
    assert np.abs(np.median(back[INNER], axis=(0, 1)) - (step, 0)).max() < 0.1


def test_flow_is_the_same_for_8_and_16_bits():
    eight = frames(2)
    sixteen = [frame.astype(np.uint16) * 257 for frame in eight]
    one, other = (motion.flows(*greys(given))[0] for given in (eight, sixteen))
    assert np.abs(one - other).max() < 1e-3


def test_flow_is_found_in_a_dark_video_of_16_bits():
    """128 of its 65,536 levels: rounded to 8 bits the frames would be flat."""
    dark = [(frame.astype(np.uint16) // 2) for frame in frames(2)]
    there, _ = motion.flows(*greys(dark))
    assert np.abs(np.median(there[INNER], axis=(0, 1)) - (-2, 0)).max() < 0.2


def blotched(frame, seed):
    """With noise of 20 of 255 that neighbouring pixels share: it looks like a scene."""
    white = np.random.default_rng(seed).normal(size=frame.shape)
    noise = cv2.GaussianBlur(white, (0, 0), 1.0)
    return (frame + 20 * noise / noise.std()).clip(0, 255).round().astype(np.uint8)


def test_flow_follows_the_scene_and_not_noise_that_neighbours_share():
    errors = []
    for seed in range(6):
        clean = frames(2, step=3, seed=seed)
        a, b = greys(blotched(frame, 10 * seed + k) for k, frame in enumerate(clean))
        there, _ = motion.flows(a, b)
        errors.append(np.linalg.norm(there[INNER] - (-3, 0), axis=2).mean())
    assert np.mean(errors) < 0.7


def test_warping_by_a_whole_number_of_pixels_is_a_shift():
    values = scene(20, 30).astype(np.float32)
    flow = np.tile(np.float32([3, -2]), (20, 30, 1))
    assert np.allclose(motion.warp(values, flow)[2:, :27], values[:-2, 3:], atol=1e-6)


def test_a_moving_camera_is_trusted_but_where_the_scene_has_left_the_frame():
    a, b = greys(frames(2, step=4))
    mask = motion.trusted(a, b, *motion.flows(a, b))
    assert mask[:, 8:].mean() > 0.8
    assert not mask[:, :4].any()
    assert motion.neighbours(mask)


def test_what_is_hidden_in_the_neighbour_is_not_trusted():
    a, b = frames(2, step=0)
    b = b.copy()
    b[30:50, 40:60] = 255
    first, second = greys([a, b])
    mask = motion.trusted(first, second, *motion.flows(first, second))
    assert not mask[34:46, 44:56].any()
    assert mask[:20].mean() > 0.9


@pytest.mark.parametrize("seed", range(4))
def test_a_cut_makes_no_neighbours(seed):
    before, after = (frames(1, seed=2 * seed + other)[0] for other in (0, 1))
    a, b = greys(with_noise([before, after], 5))
    assert not motion.neighbours(motion.trusted(a, b, *motion.flows(a, b)))
