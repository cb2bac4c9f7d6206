"""Clips: time, sound, samples and place are kept, and a result is whole or not there."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from filmed import VARIABLE, film, packets

from ssl_restore.errors import UserError
from ssl_restore.io.clips import colour, segments, writer
from ssl_restore.io.clips.encoders import USUAL, Encoding
from ssl_restore.io.clips.lengths import is_cut_off
from ssl_restore.io.clips.pictures import PictureFrames
from ssl_restore.io.clips.reader import Clip
from ssl_restore.io.clips.samples import Samples
from ssl_restore.io.images import Picture
from ssl_restore.io.images import write as write_picture


def untouched(frames):
    for frame in frames:
        pixels = frame.pixels()
        yield frame.pts, frame.restored(pixels, pixels)


def passed(source, target, encoding=USUAL, **options):
    """A clip through reader and writer."""
    writer.write(Clip(source), target, untouched, encoding=encoding, **options)
    return Clip(target)


def failure(source, target):
    """The line of what fails."""
    try:
        passed(source, target)
    except UserError as error:
        return str(error)
    return None


def difference(one, other):
    """The largest, of 255, over all frames."""
    pairs = zip(one.frames(), other.frames(), strict=True)
    scale = 1 if one.first.samples.bits == 8 else 257
    return max(np.abs(a.pixels().astype(int) - b.pixels()).max() / scale for a, b in pairs)


def times(clip):
    return [float(1000 * frame.pts * clip.time_base) for frame in clip.frames()]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_times_sound_duration_and_title_are_kept(tmp_path, suffix):
    source = film(tmp_path / "in.mp4")
    found = passed(source, tmp_path / f"out.{suffix}")
    assert times(found) == pytest.approx(VARIABLE, abs=1e-9)
    end = Clip(source).timing().end * Clip(source).time_base
    assert float(found.timing().end * found.time_base) == pytest.approx(float(end), abs=1e-9)
    assert packets(found.path) == packets(source)
    assert len(packets(source)) > 3
    assert found.container.metadata["title"] == "A walk"


def test_times_of_a_fine_time_base_are_kept(tmp_path):
    """A decoder's order of the packets is not told then; seven frames, as in a user's clip."""
    source = film(
        tmp_path / "in.mp4", times=(0, 200, 400, 600, 800, 840, 880), size=(320, 240), sound=None,
        base=Fraction(1, 51200),
    )  # fmt: skip
    for suffix in ("mp4", "mkv"):
        found = passed(source, tmp_path / f"out.{suffix}")
        assert times(found) == pytest.approx(times(Clip(source)), abs=0.6)


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("aspect", {"aspect": Fraction(16, 11), "times": range(0, 200, 40)}),
        (
            "aspect of ten bits",
            {"aspect": Fraction(16, 11), "codec": "libx265", "form": "yuv420p10le"},
        ),
        ("rotation", {"degrees": 90}),
        ("ten bits", {"codec": "libx265", "form": "yuv420p10le", "matrix": 9}),
        ("odd sides", {"form": "yuv444p", "size": (63, 47)}),
        ("full range", {"full": True, "matrix": 5}),
    ],
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_samples_and_place_are_kept(tmp_path, kind, made, suffix):
    source = Clip(film(tmp_path / "in.mp4", sound=None, **made))
    found = passed(source.path, tmp_path / f"out.{suffix}")
    assert found.first.samples == source.first.samples
    assert found.first.upright == source.first.upright
    assert found.size == source.size
    assert difference(source, found) <= (0 if suffix == "mkv" else 3)


def test_a_rotated_clip_is_read_upright(tmp_path):
    plain = Clip(film(tmp_path / "plain.mp4", sound=None))
    turned = Clip(film(tmp_path / "turned.mp4", sound=None, degrees=90))
    assert turned.size == plain.size[::-1]
    upright = turned.first.pixels()
    assert np.array_equal(np.rot90(plain.first.pixels(), 1), upright)
    planes = turned.first.restored(upright, np.maximum(upright, 200))
    again = colour.to_rgb(planes, turned.first.samples)
    assert np.abs(turned.first.upright.applied(again).astype(int).mean() - 200) < 6


def test_odd_sides_with_small_chroma_and_more_bits_than_a_codec_has(tmp_path):
    source = film(tmp_path / "in.mkv", codec="ffv1", size=(63, 47), sound=None)
    assert passed(source, tmp_path / "a.mkv").first.samples == Clip(source).first.samples
    whole = passed(source, tmp_path / "a.mp4")
    assert (whole.size, whole.first.samples.across) == ((47, 63), 1)
    said = []
    deep = film(tmp_path / "deep.mkv", codec="ffv1", form="yuv420p10le", sound=None)
    found = passed(deep, tmp_path / "b.webm", notify=said.append)
    assert found.first.samples.bits == 8
    assert "10 bits are rounded to 8" in said[0]


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


def test_a_clip_of_one_frame(tmp_path):
    source = film(tmp_path / "in.mp4", times=(0,))
    for suffix in ("mp4", "mkv", "avi", "mov"):
        found = passed(source, tmp_path / f"out.{suffix}")
        assert len(list(found.frames())) == 1


def test_avi_which_names_no_matrix_keeps_colours(tmp_path):
    source = film(tmp_path / "in.mp4", times=range(0, 200, 40))
    found = passed(source, tmp_path / "out.avi")
    assert difference(Clip(source), found) == 0
    with pytest.raises(UserError, match=r"\.avi holds a constant rate"):
        passed(film(tmp_path / "variable.mp4"), tmp_path / "out2.avi")


@pytest.mark.parametrize(
    ("name", "encoding", "said"),
    [
        ("out.webm", Encoding(), "does not hold the sound"),
        ("out.webm", Encoding("h264"), "holds no h264"),
        ("out.mkv", Encoding("h266"), "'h266' is unknown; use h264"),
        ("out.mkv", Encoding("ffv1", 3), "ffv1 loses nothing"),
        ("out.mp4", Encoding(crf=52), "0 to 51 is expected"),
    ],
)
def test_what_does_not_go_together_is_said_before_a_frame_is_restored(
    tmp_path, name, encoding, said
):
    source = film(tmp_path / "in.mp4")
    with pytest.raises(UserError, match=said):
        writer.write(Clip(source), tmp_path / name, lambda frames: 1 / 0, encoding=encoding)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_larger_rate_factor_makes_a_smaller_clip(tmp_path):
    source = film(tmp_path / "in.mp4")
    fine, coarse = (tmp_path / name for name in ("fine.mp4", "coarse.mp4"))
    passed(source, fine)
    passed(source, coarse, Encoding(crf=30))
    assert coarse.stat().st_size < fine.stat().st_size


@pytest.mark.parametrize(
    ("codec", "form"),
    [("h264", "yuv420p"), ("h264", "yuv420p10le"), ("h265", "yuv420p10le"), ("vp9", "yuv420p")],
)
def test_a_rate_factor_of_0_loses_nothing(tmp_path, codec, form):
    source = film(tmp_path / "in.mkv", codec="ffv1", form=form, sound=None)
    found = passed(source, tmp_path / "out.mkv", Encoding(codec, 0))
    assert difference(Clip(source), found) == 0


def stopped(frames, after, count=None):
    """`untouched` that fails after so many frames."""
    for number, frame in enumerate(untouched(frames)):
        if number == after:
            raise KeyboardInterrupt
        if count is not None:
            count.append(1)
        yield frame


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_what_was_stopped_goes_on_and_gives_the_same_clip(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(segments, "frames_each", lambda samples: 2)
    source, target = film(tmp_path / "in.mp4"), tmp_path / f"out.{suffix}"
    whole = passed(source, tmp_path / f"whole.{suffix}").path.read_bytes()
    resume = segments.ResumeClip({"strength": 1})
    pieces = iter([9, 1])  # the second piece stops after a frame
    with pytest.raises(KeyboardInterrupt):
        writer.write(Clip(source), target, lambda f: stopped(f, next(pieces)), resume=resume)
    assert not target.exists()
    with pytest.raises(UserError, match="`skip_existing` goes on"):
        writer.write(Clip(source), target, untouched, resume=resume)
    restored, skipped = [], []
    writer.write(
        Clip(source), target, lambda f: stopped(f, 9, restored),
        resume=segments.ResumeClip({"strength": 1}, skip=True), skipped=skipped.append,
    )  # fmt: skip
    assert (len(restored), skipped) == (4, [2])
    assert target.read_bytes() == whole
    assert not segments.folder_of(target).exists()


def test_what_a_kill_leaves_is_cleared_by_the_next_run(tmp_path):
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mkv"
    folder = segments.folder_of(target)
    where = []
    passed(source, target, before=lambda temporary: where.append(temporary.parent))
    assert where == [folder]
    folder.mkdir()
    (folder / "000000.nut").touch()
    segments.remove(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mkv"]


def test_pieces_of_other_settings_are_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "frames_each", lambda samples: 2)
    source, target, pieces = film(tmp_path / "in.mp4"), tmp_path / "out.mkv", iter([9, 1])
    with pytest.raises(KeyboardInterrupt):
        writer.write(
            Clip(source), target, lambda f: stopped(f, next(pieces)),
            resume=segments.ResumeClip({"strength": 1}),
        )  # fmt: skip
    restored = []
    writer.write(
        Clip(source), target, lambda f: stopped(f, 9, restored),
        resume=segments.ResumeClip({"strength": 2}, skip=True),
    )  # fmt: skip
    assert len(restored) == len(VARIABLE)


def test_a_cut_or_damaged_clip_is_one_line(tmp_path):
    whole = film(tmp_path / "in.mkv", codec="ffv1").read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[:300])
    with pytest.raises(UserError, match=r"cut\.mkv: (not a clip|no picture|holds no frame)"):
        passed(cut, tmp_path / "out.mkv")
    draws = np.random.default_rng(0)
    for number in range(12):
        damaged = bytearray(whole)
        for place in draws.integers(200, len(whole), 40):
            damaged[place] ^= int(draws.integers(1, 256))
        path = tmp_path / f"{number}.mkv"
        path.write_bytes(damaged)
        line = failure(path, tmp_path / "out.mkv")
        assert line is None or (line.startswith(str(tmp_path)) and "\n" not in line)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


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


def test_sound_that_a_container_does_not_take_is_said_before_a_frame_is_restored(tmp_path):
    """Two recordings put together byte by byte: in the middle time goes back."""
    source = tmp_path / "twice.ts"
    source.write_bytes(2 * film(tmp_path / "once.ts").read_bytes())
    for suffix in ("mkv", "mp4"):
        target = tmp_path / f"out.{suffix}"
        with pytest.raises(UserError) as refused:
            writer.write(Clip(source), target, lambda frames: 1 / 0)
        line = refused.value.message
        assert line.startswith(f"{target}: .{suffix} does not take what is copied (")
        assert line.endswith(f"repair {source} first: ffmpeg -i twice.ts -c copy repaired.mkv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["once.ts", "twice.ts"]


def test_sound_of_which_no_packet_is_left_is_left_out_in_one_line(tmp_path):
    whole = film(tmp_path / "in.ts").read_bytes()
    packets_of_188 = [whole[at : at + 188] for at in range(0, len(whole), 188)]
    silent = tmp_path / "silent.ts"
    silent.write_bytes(b"".join(p for p in packets_of_188 if (p[1] & 31, p[2]) != (1, 1)))
    said = []
    found = passed(silent, tmp_path / "out.mkv", notify=said.append)
    assert times(found) == times(Clip(silent))
    assert len(said) == 1
    assert said[0].endswith(
        ": .mkv does not hold audio (aac, of which nothing can be read): left out"
    )


def test_sound_that_a_container_does_not_hold_is_told_where_it_goes(tmp_path):
    source = film(
        tmp_path / "in.avi", codec="mpeg4", times=range(0, 240, 40), sound="adpcm_ms",
        base=Fraction(1, 25),
    )  # fmt: skip
    assert failure(source, tmp_path / "out.mkv").endswith("; give a name that ends in .avi")
    assert packets(passed(source, tmp_path / "out.avi").path) == packets(source)
    unknown = tmp_path / "in.mkv"
    unknown.write_bytes(film(tmp_path / "aac.mkv").read_bytes().replace(b"A_AAC", b"A_ZZZ"))
    line = failure(unknown, tmp_path / "out.mp4")
    assert line.endswith("sound first: ffmpeg -i in.mkv -c:v copy -c:a flac converted.mkv")


def test_frames_that_an_encoder_does_not_take_are_one_line(tmp_path):
    source, target = film(tmp_path / "in.mp4", sound=None), tmp_path / "out.mkv"

    def backwards(frames):
        return ((1000 - frame.pts, frame.planes) for frame in frames)

    with pytest.raises(
        UserError, match=r"ffv1 does not take its frames \(Invalid argument\)"
    ) as one:
        writer.write(Clip(source), target, backwards)
    assert one.value.message.startswith(f"{target}: ")


def test_a_piece_that_was_damaged_is_one_line(tmp_path, monkeypatch):
    write = segments.Pieces.write

    def cut(pieces, number, *rest):
        write(pieces, number, *rest)
        pieces.path(number).write_bytes(b"no piece")

    monkeypatch.setattr(segments.Pieces, "write", cut)
    with pytest.raises(UserError, match="begin anew with `overwrite`"):
        passed(film(tmp_path / "in.mp4"), tmp_path / "out.mkv")


def test_a_playlist_that_is_named_as_a_clip_opens_no_other_file(tmp_path):
    source = film(tmp_path / "in.mp4")
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile {source.name}\n")
    with pytest.raises(UserError, match="not a clip"):
        Clip(tmp_path / "list.mp4")


@pytest.mark.parametrize("matrix", [1, 5, 9])
@pytest.mark.parametrize(("bits", "full"), [(8, False), (8, True), (10, False)])
@pytest.mark.parametrize("chroma", [(1, 1), (2, 1), (2, 2)])
def test_a_flat_colour_comes_back(matrix, bits, full, chroma):
    samples = Samples(8, 6, "yuv", bits, *chroma, matrix=matrix, range=2 if full else 1)
    for rgb in ((200, 30, 30), (30, 178, 40), (30, 40, 200), (200, 180, 30), (255, 255, 255)):
        pixels = np.broadcast_to(np.uint8(rgb), (6, 8, 3))
        found = colour.to_rgb(colour.from_rgb(pixels, samples), samples)
        found = found if bits == 8 else found / 257
        assert np.abs(found - pixels.astype(float)).max() <= 1


@pytest.mark.parametrize("matrix", [(1, 0.2126, 0.0722), (5, 0.299, 0.114)])
def test_samples_are_what_the_standard_says(matrix):
    number, kr, kb = matrix
    samples = Samples(5, 4, "yuv", 8, matrix=number, range=1)
    planes = [np.random.default_rng(n).integers(16, 236, (4, 5)).astype(np.uint8) for n in range(3)]
    found = colour.to_rgb(tuple(planes), samples)
    for row in range(4):
        for column in range(5):
            y, cb, cr = (int(plane[row, column]) for plane in planes)
            y, cb, cr = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
            red, blue = y + (2 - 2 * kr) * cr, y + (2 - 2 * kb) * cb
            green = (y - kr * red - kb * blue) / (1 - kr - kb)
            expected = np.clip(np.rint(255 * np.array([red, green, blue])), 0, 255)
            assert np.array_equal(found[row, column], expected)


def test_a_clip_of_known_colours_has_them_after_writing(tmp_path):
    bars = np.zeros((48, 64, 3), np.uint8)
    for number, rgb in enumerate(((200, 30, 30), (30, 178, 40), (30, 40, 200), (200, 180, 30))):
        bars[:, 16 * number : 16 * number + 16] = rgb
    write_picture(tmp_path / "0.png", Picture(bars))
    for suffix in ("mp4", "mkv", "webm"):
        source = PictureFrames(tmp_path, [tmp_path / "0.png"])
        writer.write(source, tmp_path / f"out.{suffix}", untouched)
        found = Clip(tmp_path / f"out.{suffix}").first
        off = np.abs(found.pixels().astype(int) - bars)[:, 8::16]  # the middle of each
        assert off.max() <= (0 if suffix == "mkv" else 2)


def test_samples_are_exact_where_nothing_was_removed():
    samples = Samples(16, 8, "yuv", 8, 2, 2, matrix=1, range=1)
    draws = np.random.default_rng(0)
    planes = tuple(draws.integers(0, 256, shape).astype(np.uint8) for shape in samples.shapes)
    before = colour.to_rgb(planes, samples)
    after = before.copy()
    after[:, :4] //= 2
    found = colour.changed(planes, samples, before, after)
    for plane, was, edge in zip(found, planes, (4, 3, 3), strict=True):
        assert np.array_equal(plane[:, edge:], was[:, edge:])
        assert not np.array_equal(plane[:, : edge - 1], was[:, : edge - 1])
