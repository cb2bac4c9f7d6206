"""What the page says and shows of a session: texts, choices and files."""

from __future__ import annotations

from html import escape
from pathlib import Path

from ssl_restore.errors import UserError
from ssl_restore.inference.wrappers import USUAL_QUALITY
from ssl_restore.ui import preview
from ssl_restore.ui.jobs import State
from ssl_restore.ui.sessions import BEFORE, Session
from ssl_restore.ui.setting import Setting, abilities

NOTES = 12  # that are shown, at most


def labels(session: Session) -> list[tuple[str, str]]:
    """(what is shown, name) of each picture."""
    states = session.states
    return [
        (f"{name} · {states[name]}" if name in states else name, name) for name in session.pictures
    ]


def progress(session: Session) -> str:
    """The bar and a line, as HTML."""
    work = session.work
    if work is None:
        return ""
    line = session.status()
    if work.state is State.RUNNING and not line:
        line = _counted(session)
    words = {
        State.WAITING: line, State.RUNNING: f"{work.share:.0%}" + (f" · {line}" if line else ""),
        State.DONE: f"done{_after(_counted(session))}", State.FAILED: line,
        State.STOPPED: f"stopped{_after(_counted(session))}",
    }  # fmt: skip
    share = 1.0 if work.state is State.DONE else work.share
    role = "alert" if work.state is State.FAILED else "status"
    return (
        f'<progress max="1" value="{share:.3f}" aria-label="progress"></progress>'
        f'<p role="{role}">{escape(words[work.state])}</p>'
    )


def _after(text: str) -> str:
    return f": {text}" if text else ""


def _counted(session: Session) -> str:
    states = [*session.states.values()]
    if not states:
        return ""
    failed = states.count("failed")
    more = f", {failed} failed" if failed else ""
    return f"{states.count('restored')} of {len(states)} restored{more}"


def notes(session: Session) -> str:
    """The lines that the user should know, as HTML."""
    lines = session.notes[-NOTES:]
    left_out = len(session.notes) - len(lines)
    more = [f"and {left_out} more before these"] if left_out else []
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in [*more, *lines]) + "</ul>"


def sides(session: Session, name: str | None) -> dict[str, Path]:
    """What can be shown of a picture: before, by each setting, and the layers; its file."""
    if name is None or name not in session.pictures:
        return {}
    found = {BEFORE: session.pictures[name]}
    for label, results in session.results.items():
        if name in results.done:
            found[label] = results.done[name]
        for layer, files in results.layers.items():
            if name in files:
                found[f"{label}: {layer}"] = files[name]
    return found


def pair(session: Session) -> tuple[Path, Path] | None:
    """The two sides of the picked picture, for the browser; None where there is none."""
    found = sides(session, session.picked)
    if not found:
        return None
    left, right = (found.get(side, found[BEFORE]) for side in (session.left, session.right))
    try:
        return preview.pair(left, right, session.folder / "previews", session.machine.max_pixels)
    except UserError as error:
        session.say(str(error))
        return None


def asked_setting(
    session: Session,
    task: str,
    weights: str,
    *,
    strength: float = 1.0,
    thorough: float | None = None,
    quality: str = USUAL_QUALITY,
    mask: str | None = None,
) -> Setting:
    """That of the controls; what the weights cannot do is left out. UserError for unknown ones."""
    known = session.weights(task)
    if weights not in known:
        raise UserError(f"{weights!r} is no restorer for {task}; choose one")
    able = abilities(task, known[weights])
    if not 0 <= strength <= 2:
        raise UserError(f"0 to 2 is expected, got {strength:g}", parameter="strength")
    if able.mask and mask not in session.pictures:
        raise UserError(
            f"{task} needs a mask: drop a picture of the same size that is white where it shall "
            "work, and choose it as the mask"
        )
    return Setting(
        task, known[weights],
        strength=strength if able.strength else 1.0,
        thorough=None if able.thorough is None or thorough == able.thorough else thorough,
        quality=quality if quality in able.qualities else USUAL_QUALITY,
        mask=session.pictures[mask] if able.mask and mask else None,
    ).named(weights)  # fmt: skip
