"""benchmarks/deshadow.py: where it sees the shadow of a pair, and a row for every method."""

from __future__ import annotations

import numpy as np
import pytest
from shadows import cast, photograph

from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.networks import deshadower
from ssl_restore.training import checkpoint


@pytest.fixture
def pair(tmp_path):
    """A shaded picture and the clean one a little darker, as taken later; where the shadow lies."""
    clean = photograph(height=160, width=200)
    shaded, shadow = cast(clean)
    pixels = np.zeros((160, 200, 3), np.uint8)
    for name, image in (("shaded", shaded), ("clean", 0.9 * clean)):
        path = tmp_path / name / "a.png"
        path.parent.mkdir()
        images.write(path, Picture(images.to_pixels(image.clamp(0, 1), pixels)))
    return tmp_path, shadow[0, 0].numpy()


def test_exposure_is_equal_where_there_is_no_shadow(pair, script):
    folder, shadow = pair
    shaded, clean = (images.read(folder / name / "a.png").pixels for name in ("shaded", "clean"))
    found, exposed = script("deshadow").of_pair(shaded, clean)
    assert (found != shadow).mean() < 0.05
    assert np.abs(exposed - shaded)[~shadow].mean() < 2
    assert np.abs(exposed - shaded)[shadow].mean() > 20


def test_every_method_has_a_row_and_a_sheet_is_written(pair, script, capsys):
    folder, _ = pair
    keywords = {"width": 4, "blocks": (1, 1)}
    weights, sheet = folder / "w.safetensors", folder / "sheet.png"
    net = deshadower.build(**keywords)
    checkpoint.save(weights, net, checkpoint.Header("deshadow", "deshadower", keywords))
    given = [folder / "shaded", folder / "clean", "--weights", weights, "--sheet", sheet]
    script("deshadow").main(list(map(str, given)))
    lines = capsys.readouterr().out.splitlines()
    rows = {line[:22].strip(): line.split()[-4:] for line in lines[1:]}
    assert list(rows) == ["input", "CLAHE (cv2)", "restorer", "relight, mask given"]
    assert rows["restorer"][:3] == rows["input"][:3]  # untrained
    assert float(rows["relight, mask given"][0]) > float(rows["input"][0]) + 6
    assert images.read(sheet).pixels.shape == (160, 5 * 200, 3)
