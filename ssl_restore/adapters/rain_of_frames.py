"""The rain of a stream's frames, measured as `calibrate` does: what adapters learn to undo."""

from __future__ import annotations

import copy

from degradations.rain_like import RainLike
from ssl_restore import weights
from ssl_restore.adapters.memory import Memory
from ssl_restore.calibration import rain as rain_calibration
from ssl_restore.calibration import rain_estimator
from ssl_restore.calibration.rain_file import PictureRain
from ssl_restore.errors import UserError
from ssl_restore.evaluation import rain_left
from ssl_restore.io import images
from ssl_restore.io.picture import Pixels
from ssl_restore.objectives.rain_transfer import RainTransfer
from ssl_restore.restorer import Restorer
from ssl_restore.types import StreamModel, Undoing

MEASURED = 8  # newest frames, of which the rain is known
RAIN_FREE = 0.06  # share of patches without rain
TRANSFERRED = 0.25  # share of a batch with rain moved from the frames; more learns its own mistakes


class RainOfFrames:
    """Rain like that of the newest frames; the restorer, which is copied, sees it in them."""

    def __init__(self, restorer: Restorer) -> None:
        self.device = next(restorer.parameters()).device
        self.start = copy.deepcopy(restorer).eval()
        self.estimator = rain_estimator.load(weights.rain_estimator()).to(self.device)
        self.rows = Memory[PictureRain](newest=True)

    def measure(self, name: str, frame: Pixels) -> None:
        picture = images.to_tensor(frame)[0].to(self.device)
        row = rain_calibration.measure(name, picture, self.start, self.estimator)
        if row.probability < rain_calibration.RAINY_FROM:
            raise UserError(f"{name}: no rain found to learn from")
        self.rows.add(row, MEASURED)

    @property
    def prior(self) -> RainLike | None:
        if not self.rows.kept:
            return None
        rows = tuple(row.rain for row in self.rows.kept)
        uncertainty = rain_calibration.uncertainty(self.estimator)
        return RainLike(rows, uncertainty, rain_free=RAIN_FREE, mirrored=True)

    def rejected_reason(self, frame: Pixels, before: Pixels, after: Pixels) -> str | None:
        angle_rad = self.rows.kept[-1].rain.angle_rad
        return rain_left.rejected_reason(frame, before, after, angle_rad)


def undo_rain(restorer: Restorer, ema: Restorer, prior: RainLike) -> Undoing:
    """Learning to remove rain of a prior, and that which the average of the restorer sees."""
    objective = RainTransfer(
        restorer, ema, prior, share=TRANSFERRED, gain=(0.9, 1.6), threshold=0.01, coarse=0.0
    )
    return Undoing(objective, {"restore": 1.0, "veil": 0.1})


RAIN = StreamModel(
    frames=RainOfFrames,
    undo=undo_rain,
    prior=RainLike(),
    upright=True,
    learns_from_restored=True,  # rain only adds light: where it is dense its median is not clean
    lr={"frame2frame": 1e-4, "restore_from_restored": 2e-4},
)
