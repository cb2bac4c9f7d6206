"""Clips: what a result does not keep, or its source does not hold, is said, and nothing else is."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from filmed import film, packets, passed, times

from ssl_restore.io.clips.lengths import is_cut_off
from ssl_restore.io.clips.reader import Clip

RECORDED = [  # suffix, codecs of frames and sound
    (".mkv", "libx264", "aac"),
    (".webm", "libvpx", None),
    (".avi", "mpeg4", "libmp3lame"),
    (".avi", "ffv1", "libmp3lame"),
    (".wmv", "wmv2", None),
]


@pytest.mark.parametrize(("suffix", "codec", "sound"), RECORDED)
def test_a_clip_that_was_cut_off_is_restored_as_far_as_it_goes_and_only_it_is_said_to_be(
    tmp_path, suffix, codec, sound
):
    whole = film(
        tmp_path / f"whole{suffix}", codec=codec, times=range(0, 800, 40), sound=sound,
        base=Fraction(1, 25), size=(96, 80), noise=30,
    )  # fmt: skip
    cut, said = tmp_path / f"cut{suffix}", []
    content = whole.read_bytes()
    cut.write_bytes(content[: 7 * len(content) // 10])
    found = passed(whole, tmp_path / "a.mkv", notify=said.append)
    assert (len(times(found)), said) == (20, [])
    found = passed(cut, tmp_path / "b.mkv", notify=said.append)
    assert 0 < len(times(found)) < 20
    assert said == [f"{cut}: is cut off; what is there is restored"]


def box(kind, content, *, long=False):
    """Of .mp4."""
    if long:
        return b"\0\0\0\1" + kind + (16 + len(content)).to_bytes(8, "big") + content
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def chunk(kind, content):
    """Of .avi."""
    return b"RIFF" + (4 + len(content)).to_bytes(4, "little") + kind + content


BYTES = bytes(100)
EBML_HEAD = b"\x1a\x45\xdf\xa3\x81\0"


@pytest.mark.parametrize(
    "content",
    [
        box(b"ftyp", b"mp42") + box(b"moov", BYTES) + box(b"mdat", BYTES, long=True),
        box(b"ftyp", b"mp42") + 2 * (box(b"moof", BYTES) + box(b"mdat", BYTES)),
        chunk(b"AVI ", BYTES) + chunk(b"AVIX", BYTES),
        EBML_HEAD + b"\x18\x53\x80\x67\x40\x64" + BYTES,
        EBML_HEAD + b"\x18\x53\x80\x67\x01" + bytes(6) + b"\x64" + BYTES,
    ],
)
def test_whether_a_container_is_whole_is_told_by_the_lengths_of_its_elements(tmp_path, content):
    path = tmp_path / "clip"
    path.write_bytes(content)
    assert not is_cut_off(path)
    path.write_bytes(content + b"and more")
    assert not is_cut_off(path)
    path.write_bytes(content[:-20])
    assert is_cut_off(path)


@pytest.mark.parametrize(
    "content",
    [
        EBML_HEAD + b"\x18\x53\x80\x67\x01" + 7 * b"\xff" + BYTES,
        box(b"ftyp", b"mp42") + b"\0\0\0\0mdat" + BYTES,
        b"RIFF\0\0\0\0AVI " + BYTES,
        b"\x47" + BYTES,
        b"",
    ],
)
def test_a_container_that_does_not_say_its_length_is_not_said_to_be_cut_off(tmp_path, content):
    path = tmp_path / "clip"
    path.write_bytes(content)
    assert not is_cut_off(path)


def heard(path):
    """All samples of the sound, (channels, count)."""
    with av.open(str(path)) as clip:
        return np.concatenate([frame.to_ndarray() for frame in clip.decode(audio=0)], axis=1)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov"])
def test_aac_of_a_transport_stream_is_heard_as_it_was(tmp_path, suffix):
    source = film(tmp_path / "in.ts")
    found = passed(source, tmp_path / f"out.{suffix}")
    assert packets(source)[0][0] == 0xFF  # a header of its own, which these containers do not hold
    assert len(packets(found.path)) == len(packets(source))
    assert np.array_equal(heard(found.path), heard(source))


@pytest.mark.parametrize(
    ("form", "name", "line"),
    [
        ("bgr0", "a.mp4", "chroma is stored at half the size (yuv420p), as most players need"),
        ("bgr0", "a.webm", "chroma is stored at half the size (yuv420p), as most players need"),
        (
            "gbrp16le",
            "a.mp4",
            "16 bits are rounded to 10, which is what libx265 holds, and chroma is stored at half "
            "the size (yuv420p10le), as most players need",
        ),
        ("bgr0", "a.mkv", None),
        ("gbrp16le", "a.mkv", None),
        ("yuv444p12le", "a.mp4", None),
        ("yuv420p", "a.mp4", None),
        ("gray", "a.mp4", None),
    ],
)
def test_what_the_codec_does_not_keep_of_the_samples_is_one_line(tmp_path, form, name, line):
    source, said = film(tmp_path / "in.mkv", codec="ffv1", form=form, sound=None), []
    found = passed(source, tmp_path / name, notify=said.append)
    remedy = "; `codec=ffv1` in an .mkv keeps them"
    assert said == ([f"{tmp_path / name}: {line}{remedy}"] if line else [])
    if line is None and form != "gray":
        before = Clip(source).first.samples
        assert found.first.samples.format == before.format
