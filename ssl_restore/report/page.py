"""A report as HTML: one file, with its style, its script and its pictures inside.

The Content-Security-Policy of the page allows its own style and script, by their hashes, and
pictures that are inside of it; a browser then refuses everything else, whatever a file is called.
"""

from __future__ import annotations

import base64
import hashlib
import math
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ssl_restore.io.files import replacing
from ssl_restore.report import charts
from ssl_restore.report.contents import Calibration, Report

FOLDER = Path(__file__).parent
DEGREES = 180 / math.pi


def write(path: Path, report: Report) -> None:
    """Write the page whole or not at all; bytes of names that are no text become question marks."""
    with replacing(path) as temporary:
        temporary.write_bytes(html(report).encode("utf-8", "replace"))


def html(report: Report) -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["shown"] = shown
    style, script = (FOLDER.joinpath(f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    found = (charts.chart(name, series) for name, series in report.curves.items())
    calibration = report.calibration and (report.calibration[0], _rows(report.calibration[1]))
    return environment.get_template("page.html").render(
        report=report, style=style, script=script, policy=_policy(style, script),
        charts=[one for one in found if one is not None and one.name not in ("seconds", "lr")],
        box=charts, calibration=calibration,
    )  # fmt: skip


def _policy(style: str, script: str) -> str:
    allowed = {"style-src": style, "script-src": script}
    hashes = {name: f"'sha256-{_digest(text)}'" for name, text in allowed.items()}
    own = "; ".join(f"{name} {value}" for name, value in hashes.items())
    return f"default-src 'none'; img-src data:; {own}; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def shown(value: object) -> str:
    """A setting as it is read: lists by commas, numbers of four digits, and of a path its name."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(shown, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(one)}" for name, one in value.items())
    if value in (None, ""):
        return "none"
    text = str(value)
    return Path(text).name if Path(text).is_absolute() else text


def _rows(calibration: Calibration) -> dict[str, tuple[str, ...]]:
    """Name with its unit -> 5 % quantile, median, 95 % quantile."""
    rows = {}
    for name, three in calibration.summary().items():
        factor, words = 1.0, name.split("_")
        unit = {"rad": "°", "px": "px"}.get(words[-1])
        if unit is not None:
            words = [" ".join(words[:-1]) + ",", unit]
            factor = DEGREES if unit == "°" else 1.0
        rows[" ".join(words)] = tuple(f"{factor * value:.3g}" for value in three)
    return rows
