"""`ssl-restore calibrate`: the rain, the noise or the haze of a folder in numbers."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .errors import Failed, report_skipped, say
from .progress import bar

EXAMPLES = """\b
Examples:
  ssl-restore calibrate ./rainy/ -o rain.json
  ssl-restore calibrate ./dashcam/ -o rain.json --focal-px 1000 --exposure-s 0.005
  ssl-restore synth-rain ./photos/ ./set/ --like rain.json
  ssl-restore calibrate --noise ./noisy/ -o noise.json
  ssl-restore calibrate --haze ./hazy/ -o haze.json
"""


@click.command(epilog=EXAMPLES)
@click.argument("pictures", type=options.PATH)
@click.option("-o", "--output", type=options.PATH, required=True, help="The calibration, .json.")
@click.option("--noise", is_flag=True, help="Measure the noise instead of the rain.")
@click.option("--haze", is_flag=True, help="Measure the haze instead of the rain.")
@click.option("--sheet", type=options.PATH, help="Picture of it.  [default: OUTPUT with .png]")
@click.option("--focal-px", type=options.POSITIVE, help="Focal length of the camera in pixels.")
@click.option(
    "--exposure-s", type=options.POSITIVE, help="Exposure in seconds; with --focal-px: the mm/h."
)
@click.option("--limit", type=click.IntRange(1), help="So many pictures, spread over the folder.")
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT and its sheet.")
@options.recursive
@options.max_pixels
@options.device
def command(
    pictures: Path,
    output: Path,
    noise: bool,
    haze: bool,
    sheet: Path | None,
    focal_px: float | None,
    exposure_s: float | None,
    limit: int | None,
    overwrite: bool,
    recursive: bool,
    max_pixels: int,
    device: str,
) -> None:
    """Estimate the rain in the folder PICTURES (or in one picture), or --noise or --haze.

    Per picture and for the folder: angle, length, width, coverage, brightness and veil of the rain,
    and for a stated camera the rate in mm/h that they imply.  Prints the folder's numbers, writes
    all to OUTPUT and draws them, with real and rendered rain side by side.  It measures streaks and
    cannot tell kinds of rain apart: drips, discs out of focus and dashes come out as streaks.

    Of noise: its variance gain J + sigma^2 on values from 0 to 1, how neighbouring pixels share it,
    and the share of broken pixels.  Of haze: the colour of the airlight and the quantiles of the
    optical depth over each picture.  Nothing is drawn of either.
    """
    from ssl_restore import device as devices  # noqa: PLC0415
    from ssl_restore import discover  # noqa: PLC0415
    from ssl_restore.io import images  # noqa: PLC0415
    from ssl_restore.io.files import check_target  # noqa: PLC0415

    if (focal_px is None) != (exposure_s is None):
        raise click.UsageError("give --focal-px and --exposure-s together")
    if noise and haze:
        raise click.UsageError("give --noise or --haze, not both")
    kind = "noise" if noise else "haze" if haze else "rain"
    if kind != "rain" and not (sheet is None and focal_px is None):
        raise click.UsageError(
            f"--sheet, --focal-px and --exposure-s are for rain, not for --{kind}"
        )
    if output.suffix.lower() != ".json":
        raise click.UsageError(f"-o: the name of a calibration ends in .json; got {output.name}")
    paths = [pictures]
    if pictures.is_dir():
        paths = images.find(pictures, recursive=recursive, notify=say)
    sheet = sheet or output.with_suffix(".png")
    for path in (output, sheet) if kind == "rain" else (output,):
        check_target(path, overwrite=overwrite, inputs=paths)
    measure = discover.builder("calibration", kind, "calibrate")
    chosen = devices.choose(device)
    with bar(min(limit or len(paths), len(paths)), "picture", "calibrate") as shown:
        measured = measure(
            paths, chosen, limit=limit, max_pixels=max_pixels, on_read=lambda path: shown.update()
        )
    report_skipped(list(measured.skipped))
    calibration, files = measured.calibration, str(output)
    lines = [f"{len(calibration.pictures)} pictures"]
    if kind == "rain":
        from ssl_restore.calibration.rain import with_camera  # noqa: PLC0415
        from ssl_restore.calibration.rain_sheet import write_sheet  # noqa: PLC0415
        from ssl_restore.io.names import labels  # noqa: PLC0415

        if focal_px is not None and exposure_s is not None:
            calibration = with_camera(calibration, focal_px, exposure_s)
        write_sheet(sheet, calibration, dict(zip(labels(paths), paths, strict=True)), chosen)
        files += f", {sheet}"
        lines[0] += f" with rain, {len(calibration.rain_free)} without"
    calibration.write(output)
    lines += _rows(calibration.summary())
    if kind == "rain" and calibration.camera:
        lines.append(f"implied rate: {calibration.camera['rate_mm_per_h']:.3g} mm/h")
    for line in lines:
        click.echo(line)
    click.echo(files, err=True)
    if measured.skipped:
        raise Failed(
            f"measured without the pictures that could not be used: {len(measured.skipped)}"
        )


def _rows(summary: dict[str, tuple[float, float, float]]) -> list[str]:
    heading = f"{'':18} {'5 %':>9} {'median':>9} {'95 %':>9}"
    return [heading] + [
        f"{name:18} " + " ".join(f"{value:9.3g}" for value in three)
        for name, three in summary.items()
    ]
