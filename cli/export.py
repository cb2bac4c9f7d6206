"""`ssl-restore export`: a restorer as an ONNX model, for programs without Python."""

from __future__ import annotations

from pathlib import Path

import click

from . import options, output

EXAMPLES = """\b
Examples:
  ssl-restore export --task derain -o derain.onnx
  ssl-restore export --task upscale --scale 4 -o upscale.onnx
  ssl-restore export --weights runs/mine/restorer.safetensors -o mine.onnx
  ssl-restore export --task denoise --darktable -o denoise-ssl-restore
"""


@click.command(epilog=EXAMPLES)
@options.task
@click.option("--weights", type=options.PATH, help="Checkpoint of `fit`.  [default: built-in]")
@click.option("--scale", type=click.Choice(["2", "4"]), help="Of `upscale`.  [default: 2]")
@click.option("-o", "--output", "target", type=options.PATH, required=True, help="The .onnx file.")
@click.option(
    "--darktable", is_flag=True, help="Write a folder for darktable's neural restore instead."
)
@click.option("--overwrite", is_flag=True, help="Replace what exists.")
def command(
    *,
    task: str | None,
    weights: Path | None,
    scale: str | None,
    target: Path,
    darktable: bool,
    overwrite: bool,
) -> None:
    """Write a restorer as an ONNX model, of pictures of any size, and compare the two.

    The model takes `input` (1, 3, height, width), float32 from 0 to 1, and gives `output`; both
    sides of a picture have at least 32 pixels. Task, scale and what tiles need stand in its
    metadata. Needs the extra `export`: pip install 'ssl-restore[export]'.
    """
    import ssl_restore  # noqa: PLC0415
    from ssl_restore.inference import export  # noqa: PLC0415
    from ssl_restore.inference.mixture import Mixture  # noqa: PLC0415
    from ssl_restore.io.files import check_target  # noqa: PLC0415

    if weights is None and task is None:
        raise click.UsageError("give --task for a built-in restorer, or --weights")
    if not darktable and target.suffix != ".onnx":
        raise click.UsageError(f"{target}: the name of a model ends in .onnx")
    check_target(target, overwrite=overwrite, folder=darktable)
    factor = None if scale is None else int(scale)
    restorer = ssl_restore.load(weights or str(task), task=task, scale=factor, device="cpu")
    if restorer.chooses:
        written = "the network without its look at the whole picture is written"
        if isinstance(restorer, Mixture):
            written = "of its two networks, the one for rain as cameras see it is written"
        click.echo(written, err=True)
        restorer = restorer.core
    write = export.darktable if darktable else export.export
    difference = write(restorer, target, weights="built-in" if weights is None else weights.name)
    output.path(target)
    click.echo(f"as the restorer, within {difference:.0e}", err=True)
