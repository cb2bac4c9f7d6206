"""Progress bars on stderr; silent where stderr is not a terminal."""

from __future__ import annotations

from typing import Any


def bar(total: float, unit: str, description: str, **keywords: Any) -> Any:
    """A tqdm bar with rate and time left."""
    from tqdm import tqdm  # noqa: PLC0415

    return tqdm(
        total=total, unit=unit, desc=description, disable=None, dynamic_ncols=True, **keywords
    )
