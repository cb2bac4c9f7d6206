"""Frames of photographs, folders and clips: names, order, reading, and clips that are written."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import write_photo

from ssl_restore.errors import UserError
from ssl_restore.io import images, shots


def flat(path, colour, size=(32, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, images.Picture(np.full((*size, 3), colour, np.uint8)))
    return path


COLOURS = [(200, 40, 40), (40, 200, 40), (40, 40, 200)]


@pytest.fixture
def clip(tmp_path):
    pictures = [flat(tmp_path / "f" / f"{i}.png", colour) for i, colour in enumerate(COLOURS)]
    shots.write_clip(pictures, tmp_path / "clip.mp4", 30)
    return tmp_path / "clip.mp4"


def colours(frames, max_pixels=10_000):
    return [read().pixels.mean(axis=(0, 1)) for _, read in shots.pictures(frames, max_pixels)]


def test_a_photograph_alone_keeps_its_name_and_its_variants_count_on(tmp_path):
    write_photo(tmp_path / "a.jpg")
    found = shots.frames(tmp_path, variants=2)
    assert [frame.name for frame in found] == ["a", "a-2"]
    assert shots.frames(tmp_path / "a.jpg") == found[:1]


def test_frames_of_a_photograph_are_numbered(tmp_path):
    write_photo(tmp_path / "a.jpg")
    found = shots.frames(tmp_path, variants=2, count=2)
    assert [f.name for f in found] == ["a-0001", "a-0002", "a-2-0001", "a-2-0002"]
    assert [f.number for f in found] == [1, 2, 1, 2]
    assert {f.shot for f in found} == {"a.jpg"}


def test_a_sequence_is_the_folder_in_natural_order(tmp_path):
    for name in ("f10.png", "f9.png", "f1.png"):
        write_photo(tmp_path / "walk" / name)
    found = shots.frames(tmp_path / "walk", sequence=True)
    assert [(f.source.name, f.name) for f in found] == [
        ("f1.png", "walk-0001"), ("f9.png", "walk-0002"), ("f10.png", "walk-0003"),
    ]  # fmt: skip
    assert {f.shot for f in found} == {"walk"}
    assert len(shots.frames(tmp_path / "walk", sequence=True, count=2)) == 2


def test_frames_of_one_shot_have_one_size(tmp_path):
    for name, size in (("1.png", 24), ("2.png", 25), ("3.png", 24)):
        write_photo(tmp_path / "walk" / name, size)
    reads = [
        read for _, read in shots.pictures(shots.frames(tmp_path / "walk", sequence=True), 9999)
    ]
    assert reads[0]().pixels.shape == reads[2]().pixels.shape
    with pytest.raises(UserError, match=r"2\.png: 40 x 25 pixels, but .* 40 x 24"):
        reads[1]()


def test_two_that_would_get_one_name_are_refused(tmp_path):
    write_photo(tmp_path / "a.jpg")
    write_photo(tmp_path / "a-2.png")
    with pytest.raises(UserError, match=r"a-2\.png and a\.jpg would both become a-2\.png"):
        shots.frames(tmp_path, variants=2)


def test_a_clip_comes_back_frame_by_frame_in_its_colours(clip):
    found = shots.frames(clip)
    assert [f.name for f in found] == ["clip-0001", "clip-0002", "clip-0003"]
    assert np.allclose(colours(found), COLOURS, atol=2)
    assert shots.rate_of(clip) == 30


def test_frames_of_a_clip_are_skipped_and_a_second_variant_begins_again(clip):
    found = shots.frames(clip, variants=2)
    wanted = [found[1], found[2], found[3], found[5]]
    assert np.allclose(colours(wanted), [COLOURS[i] for i in (1, 2, 0, 2)], atol=2)
    assert len(shots.frames(clip, count=2)) == 2


def test_a_clip_that_is_none_is_too_large_or_is_missing_is_refused(clip, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"not a clip")
    with pytest.raises(UserError, match=r"bad\.mp4: not a clip"):
        shots.frames(tmp_path / "bad.mp4")
    with pytest.raises(UserError, match=r"none\.mov: no such file"):
        shots.frames(tmp_path / "none.mov")
    with pytest.raises(UserError, match="`max_pixels=1536`"):
        colours(shots.frames(clip), max_pixels=1000)


def test_a_clip_that_cannot_be_opened_is_said_of_each_of_its_frames(clip, tmp_path):
    photo = flat(tmp_path / "f" / "0.png", COLOURS[0], (20, 20))
    wanted = [*shots.frames(clip), *shots.frames(photo)]
    *of_clip, of_photo = [read for _, read in shots.pictures(wanted, 1000)]
    assert len(of_clip) == 3
    for read in of_clip:
        with pytest.raises(UserError, match=r"clip\.mp4: 48 x 32 is over the limit"):
            read()
    assert of_photo().pixels.shape == (20, 20, 3)


def test_a_clip_that_has_become_shorter_is_named_with_the_frame(clip, tmp_path):
    found = shots.frames(clip)
    shots.write_clip([tmp_path / "f" / "0.png"], clip, 30)
    reads = [read for _, read in shots.pictures(found, 9999)]
    reads[0]()
    for read in reads[1:]:
        with pytest.raises(UserError, match=r"clip\.mp4: frame [23] cannot be read"):
            read()


def test_a_clip_keeps_odd_sides(tmp_path):
    shots.write_clip([flat(tmp_path / "a.png", (90, 9, 9), (33, 47))], tmp_path / "a.mp4", 25)
    found = shots.frames(tmp_path / "a.mp4")
    assert found[0].size == (33, 47)
    assert np.allclose(colours(found), (90, 9, 9), atol=2)
