"""Gradients that are used: physics recovered by descent, as benchmarks/inverse_problems.py does."""

from __future__ import annotations

import math

import pytest


@pytest.fixture
def problems(script):
    return script("inverse_problems")


def errors(answer, values):
    return {name: float((values[name] - answer.truth[name]).abs().max()) for name in answer.truth}


def test_angle_length_and_brightness_of_rain_are_found_from_30_degrees_and_a_fourth(problems):
    answer = problems.recover_rain()
    begun, ended = errors(answer, answer.start), errors(answer, answer.found)
    assert begun["angle_rad"] == pytest.approx(math.radians(30))
    assert begun["log_length"] == pytest.approx(math.log(4))
    assert begun["log_brightness"] == pytest.approx(math.log(1.5))
    assert ended["angle_rad"] < math.radians(0.2)
    assert ended["log_length"] < 0.02
    assert ended["log_brightness"] < 0.03


def test_extinction_and_airlight_of_haze_are_found_from_a_fifth_of_it(problems):
    answer = problems.recover_haze()
    begun, ended = errors(answer, answer.start), errors(answer, answer.found)
    assert begun["log_beta"] == pytest.approx(math.log(5))
    assert begun["airlight"] > 0.3
    assert ended["log_beta"] < 0.01
    assert ended["airlight"] < 0.005


def test_the_way_of_a_shaken_camera_is_found_from_a_straight_stroke(problems):
    answer = problems.recover_shake()
    begun, ended = errors(answer, answer.start), errors(answer, answer.found)
    assert begun["x_px"] > 2
    assert begun["y_px"] > 2
    assert ended["x_px"] < 0.05
    assert ended["y_px"] < 0.05
