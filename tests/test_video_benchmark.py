"""The comparison of two clips: what it calls the same is, and what differs is told."""

from __future__ import annotations

import tracemalloc

import pytest
from filmed import film

from ssl_restore.io.clips import writer
from ssl_restore.io.clips.reader import Clip


def darker(frames):
    for frame in frames:
        pixels = frame.pixels()
        yield frame.pts, frame.restored(pixels, pixels // 2)


def test_two_clips_are_compared_frame_by_frame(tmp_path, script):
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mkv"
    writer.write(Clip(source), target, darker)
    found = script("video").compared(source, target)
    assert (found["frames"], found["variable_rate"]) == (6, True)
    assert found["sound_is_the_same"]
    assert found["samples_are_the_same"]
    assert found["seconds"][0] == pytest.approx(found["seconds"][1])
    assert found["apart"]["mean"] > 20
    assert script("video").compared(source, source)["apart"] == {
        "mean": 0, "most": 0, "share_within_1": 1,
    }  # fmt: skip
    silent = film(tmp_path / "silent.mp4", sound=None, times=range(0, 240, 40))
    other = script("video").compared(source, silent)
    assert not other["sound_is_the_same"]
    assert other["most_late_s"] == pytest.approx(0.1)


def test_clips_of_other_frames_are_refused_in_one_line(tmp_path, script):
    source = film(tmp_path / "in.mp4")
    shorter = film(tmp_path / "short.mp4", times=range(0, 120, 40))
    smaller = film(tmp_path / "small.mp4", size=(48, 32))
    for pair, said in (
        ((source, shorter), "short.mp4: ends after 3 frames"),
        ((shorter, source), "short.mp4: ends after 3 frames"),
        ((source, smaller), "small.mp4: frames of"),
    ):
        with pytest.raises(SystemExit, match=said):
            script("video").main([str(path) for path in pair])


def test_differences_of_one_frame_at_a_time_are_held(tmp_path, script):
    source = film(tmp_path / "in.mp4", times=range(0, 2000, 40), size=(256, 192))
    tracemalloc.start()
    script("video").compared(source, source)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20 * 256 * 192 * 3 * 8  # bytes of a frame's float64
