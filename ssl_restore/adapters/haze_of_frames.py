"""The haze of a stream's frames, measured as `calibrate` does: what adapters learn to undo."""

from __future__ import annotations

from degradations.haze_like import HazeLike
from ssl_restore.adapters.memory import Memory
from ssl_restore.calibration import haze as haze_calibration
from ssl_restore.calibration.haze import PictureHaze
from ssl_restore.evaluation.haze_left import haze_and_edges_left
from ssl_restore.io.picture import Pixels
from ssl_restore.objectives.undo import Undo
from ssl_restore.restorer import Restorer
from ssl_restore.types import StreamModel, Undoing

MEASURED = 8  # newest frames, of which the haze is known
LEAST_MORE = 0.02  # share of the haze of the frame that counts as more


class HazeOfFrames:
    """Haze like that of the newest frames; the restorer sees it in them."""

    def __init__(self, restorer: Restorer) -> None:
        self.restorer = restorer
        self.rows = Memory[PictureHaze](newest=True)

    def measure(self, name: str, frame: Pixels) -> None:
        self.rows.add(haze_calibration.measure(name, frame, self.restorer), MEASURED)

    @property
    def prior(self) -> HazeLike | None:
        return HazeLike(tuple(self.rows.kept)) if self.rows.kept else None

    def rejected_reason(self, frame: Pixels, before: Pixels, after: Pixels) -> str | None:
        first, second = (
            haze_and_edges_left(frame, result)["haze_left"] for result in (before, after)
        )
        return "more haze than before" if second > first + LEAST_MORE else None


def undo_haze(restorer: Restorer, ema: Restorer, prior: HazeLike) -> Undoing:
    """Learning to remove haze of a prior."""
    return Undoing(Undo(restorer, prior), {"restore": 1.0})


HAZE = StreamModel(frames=HazeOfFrames, undo=undo_haze, prior=HazeLike(), upright=True)
