"""Which codec, container and samples a result gets."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import av

from ssl_restore.errors import UserError
from ssl_restore.io.clips.samples import Samples
from ssl_restore.io.clips.suffixes import CONTAINERS

_BT709, _LIMITED = 1, 1  # of H.273


@dataclass(frozen=True)
class Codec:
    """An encoder of FFmpeg.

    crf       of near-lossless results: errors of about 1 of 255
    most      the largest crf; 0: loses nothing, and takes none
    odd       whether it takes odd sides with chroma of half the size
    aspect    whether it stores the aspect of pixels itself, where a container is not told
    options   settings that spread errors evenly, and do not weigh them by how visible they are
    lossless  settings in place of a crf of 0, which loses something in some encoders
    threads   a fixed number: results do not depend on the machine
    """

    encoder: str
    crf: int = 0
    most: int = 0
    odd: bool = False
    aspect: bool = True
    options: Mapping[str, str] = field(default_factory=dict)
    lossless: Mapping[str, str] = field(default_factory=dict)
    threads: int = 4

    def options_for(self, crf: int | None) -> dict[str, str]:
        """All options for a rate factor."""
        if crf == 0:
            return {**self.options, **self.lossless}
        return {**self.options, **({} if crf is None else {"crf": str(crf)})}

    @property
    def formats(self) -> frozenset[str]:
        return _formats(self.encoder)


_EVEN_264 = "psy=0:aq-mode=0:mbtree=0"
_EVEN_265 = "psy-rd=0:psy-rdoq=0:aq-mode=0:cutree=0:sao=0:no-deblock=1"
_X265 = f"log-level=none:bframes=0:frame-threads=1:{_EVEN_265}"
CODECS = {
    "h264": Codec("libx264", 1, 51, options={"x264-params": _EVEN_264}, lossless={"qp": "0"}),
    "h265": Codec(
        "libx265", 2, 51, options={"preset": "ultrafast", "x265-params": _X265},
        lossless={"x265-params": f"{_X265}:lossless=1"},
    ),
    "ffv1": Codec(
        "ffv1", odd=True, aspect=False, options={"level": "3", "slicecrc": "1"}
    ),
    "vp9": Codec(
        "libvpx-vp9", 4, 63, odd=True, aspect=False, options={"b": "0", "cpu-used": "4"},
        lossless={"lossless": "1"},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Encoding:
    """What was asked for: a name of `CODECS`, or by container and bits; a rate factor, or the
    codec's own."""

    codec: str | None = None
    crf: int | None = None

    def check(self, target: Path) -> None:
        """UserError where they do not go together, or not into the container of a result."""
        if self.codec is not None:
            self._checked(target, self.codec)

    def chosen(self, target: Path, samples: Samples) -> tuple[Codec, int | None]:
        """The codec for frames of these samples, and its rate factor; UserError as of `check`."""
        codec = self._checked(target, self.codec or self._usual(target, samples))
        if not codec.most:
            return codec, None
        lossless = self.codec is None and target.suffix.lower() in _LOSSLESS
        return codec, (0 if lossless else codec.crf) if self.crf is None else self.crf

    def _usual(self, target: Path, samples: Samples) -> str:
        """By the container, the bits, and whether a rate factor asks for small files."""
        suffix = target.suffix.lower()
        if suffix == ".webm":
            return "vp9"
        if self.crf is None and (suffix == ".avi" or (suffix == ".mkv" and not samples.aspect)):
            return "ffv1"
        return "h264" if samples.bits == 8 else "h265"

    def _checked(self, target: Path, name: str) -> Codec:
        if name not in CODECS:
            raise UserError(f"{name!r} is unknown; use {', '.join(CODECS)}", parameter="codec")
        codec = CODECS[name]
        if codec.encoder not in _supported(CONTAINERS[target.suffix.lower()]):
            raise UserError(
                f"{target}: {target.suffix} holds no {name}; name an .mkv, or another `codec`"
            )
        if self.crf is not None and not codec.most:
            raise UserError(f"{name} loses nothing; leave it out", parameter="crf")
        if self.crf is not None and not 0 <= self.crf <= codec.most:
            raise UserError(f"0 to {codec.most} is expected of {name}", parameter="crf")
        return codec


USUAL = Encoding()
_LOSSLESS = (".mkv", ".avi")  # containers of results that lose nothing, unless told otherwise


@cache
def _formats(encoder: str) -> frozenset[str]:
    return frozenset(one.name for one in av.Codec(encoder, "w").video_formats or ())


@cache
def _supported(container: str) -> frozenset[str]:
    with av.open(io.BytesIO(), "w", container) as opened:
        return frozenset(opened.supported_codecs)


def holds(target: Path, codec: str) -> bool:
    """Whether the container of a result holds streams of a codec of FFmpeg."""
    return codec in _supported(CONTAINERS[target.suffix.lower()])


def stored_as(samples: Samples, codec: Codec) -> Samples:
    """The samples of a codec for frames of these: the same where it takes them, else with more
    chroma or bits, and with fewer bits where it has no more."""
    options = [samples] if samples.model != "rgb" or not codec.most else []
    video: dict[str, Any] = {"model": "yuv", "across": 2, "down": 2}
    if samples.model == "grey":
        options.append(replace(samples, **video))
    if samples.model == "rgb":
        video |= {"matrix": _BT709, "range": _LIMITED, "transfer": _BT709}
        options.append(replace(samples, **video))
    options += [replace(one, across=1, down=1) for one in options if one.model == "yuv"]
    options = [one for one in options if _fits(one, codec)]
    ladder = [*range(samples.bits, 17), *(bits for bits in (10, 8) if bits < samples.bits)]
    for bits in ladder:
        for one in options:
            found = replace(one, bits=bits)
            if packing(found, codec) is not None:
                return found
    raise UserError(f"{codec.encoder} takes no frames of {samples.format}; use `codec=ffv1`")


def packing(samples: Samples, codec: Codec) -> str | None:
    """FFmpeg's format in which a codec takes these samples; None: it does not."""
    if samples.format in codec.formats:
        return samples.format
    if samples.model == "rgb" and samples.bits == 8 and "bgr0" in codec.formats:
        return "bgr0"
    return None


def _fits(samples: Samples, codec: Codec) -> bool:
    return codec.odd or not (samples.width % samples.across or samples.height % samples.down)
