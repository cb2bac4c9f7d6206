"""Streams of frames: what is read, where the results go, and that they get there whole."""

from __future__ import annotations

import numpy as np
import pytest
from moving import frames
from tiny import write_photo

from ssl_restore.errors import UserError
from ssl_restore.io import images, shots, video


def save_frames(folder, given, **said):
    folder.mkdir()
    for number, frame in enumerate(given):
        images.write(folder / f"{number + 8}.png", images.Picture(frame, **said))  # 8, 9, 10
    return folder


@pytest.fixture
def folder(tmp_path):
    return save_frames(tmp_path / "in", frames(3))


@pytest.fixture
def clip(folder, tmp_path):
    shots.write_clip(images.find(folder), tmp_path / "in.mp4", 30)
    return tmp_path / "in.mp4"


def same(given, expected):
    return all(np.array_equal(a, b) for a, b in zip(given, expected, strict=True))


def test_a_folder_is_read_in_natural_order_and_again(folder):
    found = video.find(folder)
    assert len(found) == 3
    assert same(found, frames(3))
    assert same(found, frames(3))


def test_a_clip_is_read_again_and_keeps_its_rate(clip):
    found = video.find(clip)
    assert (len(found), found.rate) == (3, 30)
    near = [np.abs(f.astype(float) - e).mean() for f, e in zip(found, frames(3), strict=True)]
    assert max(near) < 2
    assert same(found, list(found))


def test_frames_keep_name_depth_alpha_and_profile(tmp_path):
    deep = [frame.astype(np.uint16) * 257 for frame in frames(2)]
    alpha = np.full(deep[0].shape[:2], 999, np.uint16)
    source = video.find(save_frames(tmp_path / "in", deep, alpha=alpha, exif=b"II*\0\x08\0\0\0"))
    files = video.targets(source, tmp_path / "out")
    assert [path.name for path in files] == ["8.png", "9.png"]
    seen = []
    video.write(source, (65535 - frame for frame in source), files, progress=lambda: seen.append(1))
    assert len(seen) == 2
    for path, frame in zip(files, deep, strict=True):
        found = images.read(path)
        assert np.array_equal(found.pixels, 65535 - frame)
        assert np.array_equal(found.alpha, alpha)


def test_grey_frames_stay_grey(tmp_path):
    source = video.find(save_frames(tmp_path / "in", [frame[..., :1] for frame in frames(2)]))
    files = video.targets(source, tmp_path / "out")
    video.write(source, source, files)
    assert images.read(files[0]).pixels.shape == (80, 96, 1)


@pytest.mark.parametrize(("name", "error"), [("out.mkv", 0), ("out.avi", 0), ("out.mp4", 1)])
def test_a_clip_is_written_with_its_rate(clip, tmp_path, name, error):
    source = video.find(clip)
    given = list(source)
    video.write(source, given, video.targets(source, tmp_path / name))
    found = video.find(tmp_path / name)
    assert (len(found), found.rate) == (3, 30)
    off = [np.abs(f.astype(float) - g).mean() for f, g in zip(found, given, strict=True)]
    assert max(off) <= error


def test_a_clip_becomes_a_folder_of_frames(clip, tmp_path):
    source = video.find(clip)
    files = video.targets(source, tmp_path / "out")
    video.write(source, source, files)
    assert [path.name for path in images.find(tmp_path / "out")] == [
        "in-0001.png", "in-0002.png", "in-0003.png",
    ]  # fmt: skip
    assert same(source, [images.read(path).pixels for path in files])


def test_a_clip_that_fails_half_way_leaves_what_was_there(clip, tmp_path):
    def failing():
        yield frames(1)[0]
        raise UserError("the second frame")

    (tmp_path / "out.mp4").write_bytes(b"before")
    before = {path.name for path in tmp_path.iterdir()}
    source = video.find(clip)
    files = video.targets(source, tmp_path / "out.mp4", overwrite=True)
    with pytest.raises(UserError, match="the second frame"):
        video.write(source, failing(), files)
    assert (tmp_path / "out.mp4").read_bytes() == b"before"
    assert {path.name for path in tmp_path.iterdir()} == before


def test_an_input_is_never_the_output(clip, folder, tmp_path):
    link = tmp_path / "link.mp4"
    link.symlink_to(clip)
    for source, output in ((clip, clip), (clip, link), (folder, folder)):
        with pytest.raises(UserError, match="input"):
            video.targets(video.find(source), output, overwrite=True)


def test_what_exists_is_kept_without_overwrite(clip, folder, tmp_path):
    (tmp_path / "out.mp4").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "in-0002.png").touch()
    (tmp_path / "out" / "9.png").touch()
    for source, output in ((clip, "out.mp4"), (clip, "out"), (folder, "out")):
        with pytest.raises(UserError, match="`overwrite` replaces"):
            video.targets(video.find(source), tmp_path / output)
        assert video.targets(video.find(source), tmp_path / output, overwrite=True)


@pytest.mark.parametrize(
    ("output", "said"),
    [("out.wmv", "unknown suffix"), ("no/out.mp4", "does not exist"), ("no/out", "does not exist"),
     ("file", "is a file")],
)  # fmt: skip
def test_outputs_that_cannot_be_are_named(clip, tmp_path, output, said):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=said):
        video.targets(video.find(clip), tmp_path / output)


def test_inputs_that_are_no_video_are_named(tmp_path):
    write_photo(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: is no clip"):
        video.find(tmp_path / "a.png")
    with pytest.raises(UserError, match="no such clip or folder"):
        video.find(tmp_path / "missing")


def test_frames_of_16_bits_become_a_clip_that_loses_nothing(tmp_path):
    given = [frame.astype(np.uint16) * 251 for frame in frames(2)]
    source = video.find(save_frames(tmp_path / "in", given))
    files = video.targets(source, tmp_path / "out.mkv")
    video.write(source, source, files)
    assert same(video.find(files[0]), given)
