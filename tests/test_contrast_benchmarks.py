"""benchmarks/upscale.py and benchmarks/ablation.py: tiny runs of their tables."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from tiny import write_photo

from ssl_restore.evaluation import metrics
from ssl_restore.io import images
from ssl_restore.networks import unet


@pytest.fixture
def photos(tmp_path):
    for seed in range(2):
        write_photo(tmp_path / "photos" / f"{seed}.png", 98, 110, seed=seed)
    return tmp_path / "photos"


def test_enlarging_has_a_row_a_method_and_a_time(script, photos, tmp_path, capsys):
    benchmark = script("upscale")
    sheet = tmp_path / "sheet.png"
    benchmark.main([str(photos), "--scale", "4", "--speed", "16", "--sheet", str(sheet)])
    lines = capsys.readouterr().out.splitlines()
    names = ["repeated", "cubic", "restorer", "restorer, best"]
    assert [line[:16].strip() for line in lines] == [*names, *names, "EDSR-baseline"]
    clean = images.read(photos / "0.png").pixels[:96, :108]
    small = benchmark.smaller(clean, 4, None)
    assert small.shape == (24, 27, 3)
    cubic = cv2.resize(small, (108, 96), interpolation=cv2.INTER_CUBIC)
    assert metrics.psnr(benchmark.cubic(small, 4), clean) == metrics.psnr(cubic, clean)
    assert not np.array_equal(benchmark.smaller(clean, 4, 50), small)
    assert images.read(sheet).pixels.shape == (2 * 96, 4 * 108, 3)


@pytest.mark.parametrize(("task", "kind"), [("derain", "scenes"), ("upscale", "none")])
def test_a_contrast_has_a_row_with_the_spread_over_seeds(script, photos, capsys, task, kind):
    truth = photos.with_name("truth")
    for path in images.find(photos):
        write_photo(truth / path.name, 98, 110, seed=9)
    given = [task, str(photos), str(truth), "--steps", "1", "--seeds", "2", "--only", kind]
    script("ablation").main(given)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{kind:10} PSNR")
    assert ("retrieval" in line) == (task == "derain")


def test_retrieval_is_a_share_and_one_for_an_encoder_of_scenes(script, tmp_path):
    photos = tmp_path / "flat"
    photos.mkdir()
    for number, colour in enumerate(((90, 20, 20), (20, 90, 20), (20, 20, 90))):
        flat = np.broadcast_to(np.array(colour, np.uint8), (64, 64, 3))
        images.write(photos / f"{number}.png", images.Picture(np.ascontiguousarray(flat)))
    ablation = script("ablation")
    torch.manual_seed(0)
    net = unet.build(width=4, blocks=(1, 1)).eval()
    assert 0 <= ablation.retrieval(net, photos) <= 1

    class Colour(torch.nn.Module):
        """The darkest value of each colour, which rain does not change."""

        def forward(self, pictures):
            return [pictures.flatten(2).amin(dim=2)[:, :, None, None] + 1e-3]

    net.encoder = Colour()
    assert ablation.retrieval(net, photos) == 1
