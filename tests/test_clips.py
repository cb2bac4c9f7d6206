"""Clips: time, sound, samples and place are kept, and a result is whole or not there."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from filmed import VARIABLE, film, packets, passed, times, untouched

from ssl_restore.errors import UserError
from ssl_restore.io.clips import colour, segments, writer
from ssl_restore.io.clips.encoders import Encoding
from ssl_restore.io.clips.pictures import PictureFrames
from ssl_restore.io.clips.reader import Clip
from ssl_restore.io.clips.samples import Samples
from ssl_restore.io.images import Picture
from ssl_restore.io.images import write as write_picture


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
        assert length(found.path) == pytest.approx(length(source), abs=2e-3)  # Matroska: to 1 ms


def length(path):
    """Seconds that the container says, which no packet tells."""
    with av.open(str(path)) as clip:
        return clip.duration / av.time_base


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


def heard_s(path):
    """Seconds of sound that play."""
    with av.open(str(path)) as clip:
        return sum(frame.samples / frame.sample_rate for frame in clip.decode(audio=0))


def test_the_sound_of_a_transport_stream_plays_or_is_refused_with_what_takes_it(tmp_path):
    source = film(tmp_path / "in.ts", times=range(0, 520, 40))
    with pytest.raises(UserError, match=r"in.avi: .avi does not take .*; name an .mkv, or repair"):
        passed(source, tmp_path / "in.avi")
    assert not (tmp_path / "in.avi").exists()
    for name in ("a.mkv", "a.mp4"):
        passed(source, tmp_path / name)
        assert heard_s(tmp_path / name) == pytest.approx(heard_s(source))
    passed(tmp_path / "a.mkv", tmp_path / "b.avi")  # as after the repair
    assert heard_s(tmp_path / "b.avi") == pytest.approx(0.6, abs=0.1)


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
