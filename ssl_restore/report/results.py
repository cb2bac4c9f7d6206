"""A folder of restored pictures, and what its manifest says of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from ssl_restore.errors import UserError
from ssl_restore.evaluation import pairing
from ssl_restore.io.manifest import Manifest, Origin
from ssl_restore.report.contents import Facts
from ssl_restore.report.subject import (
    Asked,
    Notify,
    Subject,
    layers_of,
    software,
    spread,
    task_of,
)

MOST_SETTINGS = 4  # sets of settings that are listed


def of_results(folder: Path, asked: Asked, notify: Notify) -> Subject:
    """UserError for a folder without pictures, or of which nothing says what they were before."""
    results = pairing.by_name(folder, asked.recursive, notify)
    book = Manifest(folder, {})
    origins = {name: found for name, p in results.items() if (found := book.origin(p)) is not None}
    degraded: Path | dict[str, Path] | None = asked.degraded
    if degraded is None:
        degraded = {name: one.source for name, one in origins.items() if one.source is not None}
    if not degraded:
        raise UserError(
            f"{folder}: nothing says which pictures these were before, or they are gone; give the "
            "folder of them: `degraded`"
        )
    pairs, skipped = pairing.pairs(
        degraded, asked.clean, folder, pattern=asked.pattern, recursive=asked.recursive,
        notify=notify,
    )  # fmt: skip
    commands = {str(one.settings.get("command", "")) for one in origins.values()}
    name = asked.task or (commands.pop() if len(commands) == 1 else None)
    notes = []
    left_out = len(skipped) if isinstance(degraded, Path) else len(results) - len(pairs)
    if left_out:
        notes.append(f"Left out are {left_out} pictures without a partner of their name.")
    return Subject(
        folder.resolve().name, "Results of " + (name or "a restoration"), task_of(asked.task, name),
        spread(pairs, asked.limit), len(pairs), layers=layers_of(asked, notify),
        facts=[*_settings(origins), software()], notes=notes,
    )  # fmt: skip


def _settings(origins: Mapping[str, Origin]) -> list[Facts]:
    """What the manifest says, for each set of settings."""
    written = {name: json.dumps(dict(one.settings)) for name, one in origins.items()}
    facts = []
    for settings, count in Counter(written.values()).most_common(MOST_SETTINGS):
        rows = {name: value for name, value in json.loads(settings).items() if value is not None}
        facts.append(Facts("Settings", {"pictures": count, **rows}))
    return facts
