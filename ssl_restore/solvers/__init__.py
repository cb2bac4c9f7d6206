"""What restores or separates one picture with no training set: a file each with a function `solve`.

    solve(image, ...) -> {"clean": Tensor, other layers}

image (1, 3, H, W), display values, which may go beyond black and white where it was not stored in a
file; each layer of the result is (1, 1 or 3, H, W), but the layer `kernel` (1, 1, K, K). What
restores has the layer `clean`, in both directions `scale` times as large where a solver takes a
`scale`. Beside the image a solver takes keywords, those of these names alike in all:

    generator            draws all that is random; without it nothing is
    restorer             a trained one to start from, which stays as it is
    steps, seconds       a run ends after either; without `seconds` the result is repeatable
    progress(share)      called with the share of the run that is done
    notify(line)         called with what the user should know
    tile, precision      as of `inference.tiles.restore`
"""
