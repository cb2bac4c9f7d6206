"""The noise of a stream's frames, measured as `calibrate` does: what adapters learn to undo."""

from __future__ import annotations

from ssl_restore.adapters.memory import Memory
from ssl_restore.adapters.noise_like import NoiseLike
from ssl_restore.calibration import noise as noise_calibration
from ssl_restore.calibration.noise import PictureNoise
from ssl_restore.evaluation.noise_left import rejected_reason
from ssl_restore.io.picture import Pixels
from ssl_restore.objectives.undo import Undo
from ssl_restore.restorer import Restorer
from ssl_restore.types import StreamModel, Undoing

MEASURED = 8  # newest frames, of which the noise is known


class NoiseOfFrames:
    """Noise like that of the newest frames."""

    def __init__(self, restorer: Restorer) -> None:
        self.rows = Memory[PictureNoise](newest=True)

    def measure(self, name: str, frame: Pixels) -> None:
        self.rows.add(
            noise_calibration.measure(name, noise_calibration.display_values(frame)), MEASURED
        )

    @property
    def prior(self) -> NoiseLike | None:
        return NoiseLike(tuple(self.rows.kept)) if self.rows.kept else None

    def rejected_reason(self, frame: Pixels, before: Pixels, after: Pixels) -> str | None:
        return rejected_reason(frame, before, after)


def undo_noise(restorer: Restorer, ema: Restorer, prior: NoiseLike) -> Undoing:
    """Learning to remove noise of a prior."""
    return Undoing(Undo(restorer, prior), {"restore": 1.0})


NOISE = StreamModel(frames=NoiseOfFrames, undo=undo_noise, prior=NoiseLike(()))
