"""The pictures of a page of bounded size, as JPEG."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from ssl_restore.errors import UserError
from ssl_restore.io.formats.jpeg import JPEG
from ssl_restore.io.picture import Picture, to_eight_bits

QUALITIES = (95, 90, 80)  # 4:4:4
LONGEST_PX = 65_500  # of a side, of JPEG
_TEXT = 4 / 3  # characters of a byte in base 64


class Album:
    """Pictures of full size, of the highest of three qualities at which all of them fit.

    No side is longer than LONGEST_PX. Colour profiles are kept; alpha, EXIF and all else are left
    out.
    """

    def __init__(self, most_bytes: float) -> None:
        """Args:
        most_bytes: Of the page that the pictures take.
        """
        self._most = most_bytes / _TEXT
        self._groups: list[dict[str, dict[int, bytes]]] = []
        self._totals = dict.fromkeys(QUALITIES, 0)

    def add(self, group: Mapping[str, Picture]) -> bool:
        """Take pictures that belong together, by name; False where there is no room for them.

        UserError where the first of all groups has none.
        """
        versions = {
            name: {quality: encoded(picture, quality) for quality in self._totals}
            for name, picture in group.items()
        }
        totals = {
            quality: total + sum(len(version[quality]) for version in versions.values())
            for quality, total in self._totals.items()
        }
        fitting = {quality: total for quality, total in totals.items() if total <= self._most}
        if not fitting and not self._groups:
            need = min(totals.values()) * _TEXT / 1e6
            raise UserError(
                f"a page with one of these pictures takes {need:.1f} MB more than all else; give "
                "more, or show smaller pictures",
                parameter="max_mb",
            )
        if not fitting:
            return False
        self._totals = fitting
        self._groups.append(versions)
        for one in self._groups:
            for version in one.values():
                for quality in version.keys() - fitting.keys():
                    del version[quality]
        return True

    @property
    def quality(self) -> int:
        return max(self._totals)

    def uri(self, group: int, name: str) -> str:
        """A picture as the address of its data."""
        data = base64.b64encode(self._groups[group][name][self.quality]).decode()
        return f"data:image/jpeg;base64,{data}"


def encoded(picture: Picture, quality: int) -> bytes:
    """A picture as JPEG, with its profile and nothing else; no side is longer than LONGEST_PX."""
    icc = picture.icc if picture.pixels.shape[2] == 3 else None
    encode = JPEG.encode
    assert encode is not None
    return b"".join(encode(Picture(to_eight_bits(picture.pixels), icc=icc), quality))
