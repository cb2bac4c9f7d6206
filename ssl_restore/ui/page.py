"""The page: what is on it, and what happens when something on it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from ssl_restore import discover
from ssl_restore.errors import UserError
from ssl_restore.inference.wrappers import USUAL_QUALITY
from ssl_restore.io.clips.suffixes import is_clip
from ssl_restore.training.request import MINUTES, USUAL_TASK
from ssl_restore.ui import view
from ssl_restore.ui.sessions import BEFORE, Session, Sessions
from ssl_restore.ui.setting import abilities, choices

NONE = "none"
ALL = "all pictures"
Updates = dict[Any, Any]


def theme() -> Any:
    """Fonts of the system: nothing is fetched."""
    return gr.themes.Base(
        primary_hue="blue", neutral_hue="slate",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    )  # fmt: skip


def build(sessions: Sessions) -> Any:
    """The page as Gradio's Blocks, not served yet."""
    return Page(sessions).blocks


class Page:
    """Controls on the left, pictures on the right; on a phone one below the other."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        with gr.Blocks(title="ssl-restore", analytics_enabled=False) as self.blocks:
            gr.HTML(
                "<h1>ssl-restore</h1><p>Nothing leaves this machine. Closing the page removes what "
                "was dropped and made: download first.</p>",
                elem_id="top",
            )
            with gr.Row():
                with gr.Column(scale=2, min_width=300):
                    self._lay_out_controls()
                with gr.Column(scale=5, min_width=300):
                    self._lay_out_pictures()
            self._connect()

    def _lay_out_controls(self) -> None:
        self.drop = gr.File(
            label="Pictures, clips, weights", file_count="multiple", height=170, elem_id="drop"
        )
        with gr.Row():
            self.folder = gr.UploadButton(
                "Choose a folder", file_count="directory", size="sm", elem_id="folder"
            )
            self.clear = gr.Button("Clear", size="sm", elem_id="clear")
        self.task = gr.Dropdown(
            discover.names("tasks", "task"), value=USUAL_TASK, label="Task", elem_id="task",
            filterable=False,
        )  # fmt: skip
        known = choices(USUAL_TASK)
        usual = next(iter(known))
        able = abilities(USUAL_TASK, known[usual])
        with gr.Tab("Restore"):
            self.weights = gr.Dropdown(
                list(known), value=usual, label="Restorer", elem_id="weights", filterable=False
            )
            self.strength = gr.Slider(
                0, 2, 1, step=0.05, label="Strength", elem_id="strength",
                info="So much of what is found is removed",
            )  # fmt: skip
            self.thorough = gr.Slider(
                0, 1, able.thorough, step=0.05, label="Thorough", elem_id="thorough",
                info="0 leaves what might belong to the scene, 1 takes what might not",
            )  # fmt: skip
            self.quality = gr.Radio(
                list(able.qualities),
                value=USUAL_QUALITY,
                label="Quality",
                elem_id="quality",
                info="fast: a smaller network, or one of two; best: in 2 to 8 times the time",
            )
            self.layer = gr.Dropdown(
                [NONE, *able.layers], value=NONE, label="Layer", elem_id="layer", filterable=False,
                info="Also keep this part of each picture",
            )  # fmt: skip
            self.mask = gr.Dropdown(
                [], label="Mask", elem_id="mask", filterable=False, visible=able.mask,
                info="A dropped picture that is white where it shall work",
            )  # fmt: skip
            self.restore = gr.Button("Restore", variant="primary", elem_id="restore")
        with gr.Tab("Fit"):
            self.source = gr.Dropdown(
                [ALL], value=ALL, label="Learn from", elem_id="source", filterable=False,
                info="Pictures degraded alike, or a clip of a camera that does not move",
            )  # fmt: skip
            self.minutes = gr.Number(
                MINUTES, label="Minutes", minimum=0.1, maximum=1000, elem_id="minutes"
            )
            self.fit = gr.Button("Fit", variant="primary", elem_id="fit")
        self.progress = gr.HTML("", elem_id="progress")
        self.stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop")
        self.notes = gr.HTML("", elem_id="notes")

    def _lay_out_pictures(self) -> None:
        self.pictures = gr.Radio([], label="Pictures", elem_id="pictures")
        with gr.Row():
            self.left = gr.Dropdown([], label="Left", elem_id="left", filterable=False)
            self.right = gr.Dropdown([], label="Right", elem_id="right", filterable=False)
            self.look = gr.Checkbox(False, label="Side by side", elem_id="look")
        self.slider = gr.ImageSlider(
            label="Left and right", show_label=False, interactive=False, max_height=900,
            elem_id="slider", buttons=["fullscreen"],
        )  # fmt: skip
        with gr.Row(visible=False) as self.row:
            self.one, self.other = (
                gr.Image(
                    label=name,
                    show_label=False,
                    interactive=False,
                    elem_classes="side",
                    buttons=["fullscreen"],
                )
                for name in ("Left", "Right")
            )
        with gr.Row():
            self.download = gr.DownloadButton("Download", interactive=False, elem_id="download")
            self.archive = gr.DownloadButton(
                "Download all (.zip)", interactive=False, elem_id="archive"
            )
            self.fitted = gr.DownloadButton("Download the weights", visible=False, elem_id="fitted")
        with gr.Column(visible=False) as self.learned:
            gr.HTML("<h3>What is learned: above before, below restored</h3>")
            self.sheet = gr.Image(
                label="Sample sheet", show_label=False, interactive=False, elem_id="sheet",
                buttons=["fullscreen"],
            )  # fmt: skip

    def _connect(self) -> None:
        """Which function answers what; all outputs may be changed by each."""
        chosen = [self.task, self.weights]
        controls = [
            *chosen, self.strength, self.thorough, self.quality, self.layer, self.mask,
        ]  # fmt: skip
        sides = [self.left, self.right, self.look]
        self._on(self.drop.upload, self._taken, [self.drop])
        self._on(self.folder.upload, self._taken, [self.folder])
        self._on(self.task.input, self._task_chosen, [self.task])
        self._on(self.weights.input, self._weights_chosen, chosen)
        self._on(self.restore.click, self._restore, controls)
        self._on(self.fit.click, self._fit, [self.task, self.source, self.minutes])
        self._on(self.stop.click, self._stop, [])
        self._on(self.clear.click, self._clear, [])
        self._on(self.pictures.input, self._picked, [self.pictures])
        for part in sides:  # each tells all three: in the order in which they were chosen
            self._on(part.input, self._sides_chosen, sides, concurrency_limit=1)
        self.blocks.unload(self._closed)

    def _on(
        self,
        event: Any,
        function: Callable[..., Any],
        inputs: list[Any],
        concurrency_limit: int | None = None,
    ) -> None:
        outputs = [
            self.drop, self.folder, self.weights, self.strength, self.thorough, self.quality,
            self.layer, self.mask, self.source, self.restore, self.fit, self.stop, self.clear,
            self.progress, self.notes, self.pictures, self.left, self.right, self.slider,
            self.row, self.one, self.other, self.download, self.archive, self.fitted,
            self.sheet,
            self.learned,
        ]  # fmt: skip
        event(
            function, inputs, outputs, show_progress="hidden", api_visibility="private",
            trigger_mode="multiple", concurrency_limit=concurrency_limit,
            concurrency_id=function.__name__,
        )  # fmt: skip

    # Answers. Each takes the request last, which names the page that asks.

    def _taken(self, files: list[str] | None, request: gr.Request) -> Updates:
        session = self._session(request)
        if session.busy:
            session.say("something is being done; drop more when that has ended")
        else:
            session.notes = []
            session.take(map(Path, files or []))
        cleared = {self.drop: None, self.folder: None}
        return {**cleared, **self._whole(session), self.source: self._sources(session)}

    def _task_chosen(self, task: str, request: gr.Request) -> Updates:
        return self._able(self._session(request), task)

    def _weights_chosen(self, task: str, weights: str, request: gr.Request) -> Updates:
        return self._able(self._session(request), task, weights)

    def _restore(
        self,
        task: str,
        weights: str,
        strength: float,
        thorough: float,
        quality: str,
        layer: str,
        mask: str | None,
        request: gr.Request,
    ) -> Iterator[Updates]:
        session = self._session(request)

        def begin() -> None:
            setting = view.asked_setting(
                session, task, weights, strength=strength, thorough=thorough, quality=quality,
                mask=mask,
            )  # fmt: skip
            session.restore(setting, None if layer == NONE else layer)

        yield from self._followed(session, begin)

    def _fit(
        self, task: str, source: str, minutes: float | None, request: gr.Request
    ) -> Iterator[Updates]:
        session = self._session(request)
        before = set(session.fitted)

        def begin() -> None:
            images = None if source == ALL else session.pictures.get(source)
            session.fit(task, images, minutes or 0)

        yield from self._followed(session, begin)
        new = [name for name in session.fitted if name not in before]
        if new:
            yield {
                **self._able(session, task, new[-1]),
                self.fitted: gr.update(value=str(session.fitted[new[-1]][1]), visible=True),
            }

    def _followed(self, session: Session, begin: Callable[[], None]) -> Iterator[Updates]:
        """Begin something, and show how far it is until it has ended."""
        try:
            begin()
        except UserError as error:
            session.say(str(error))
            yield self._state(session)
            return
        assert session.work is not None
        last: tuple[Any, ...] = ()
        for _ in session.work.changes():
            shown = (session.picked, session.left, session.right, session.sheet, session.work.over)
            yield self._state(session) if shown == last else self._whole(session)
            last = shown

    def _stop(self, request: gr.Request) -> Updates:
        session = self._session(request)
        session.stop()
        return {self.stop: gr.update(interactive=False)}

    def _clear(self, request: gr.Request) -> Updates:
        session = self._session(request)
        try:
            session.clear()
        except UserError as error:
            session.say(str(error))
        return self._whole(session)

    def _picked(self, name: str | None, request: gr.Request) -> Updates:
        session = self._session(request)
        session.picked = name
        return self._shown(session)

    def _sides_chosen(self, left: str, right: str, look: bool, request: gr.Request) -> Updates:
        session = self._session(request)
        session.left, session.right = left or BEFORE, right or BEFORE
        session.side_by_side = look
        return self._shown(session)

    def _closed(self, request: gr.Request) -> None:
        self.sessions.close(request.session_hash)

    # What an answer shows.

    def _session(self, request: gr.Request) -> Session:
        try:
            return self.sessions.of(request.session_hash)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def _able(self, session: Session, task: str, weights: str | None = None) -> Updates:
        """The controls that a task and its weights have."""
        known = session.weights(task)
        weights = weights if weights in known else next(iter(known))
        able = abilities(task, known[weights])
        told = able.thorough is not None
        return {
            self.weights: gr.update(choices=list(known), value=weights),
            self.strength: gr.update(visible=able.strength),
            self.thorough: gr.update(visible=told, **({"value": able.thorough} if told else {})),
            self.quality: gr.update(
                choices=list(able.qualities), value=USUAL_QUALITY,
                visible=len(able.qualities) > 1,
            ),
            self.layer: gr.update(
                choices=[NONE, *able.layers], value=NONE, visible=bool(able.layers)
            ),
            self.mask: gr.update(visible=able.mask),
        }  # fmt: skip

    def _state(self, session: Session) -> Updates:
        """How far it is."""
        busy = session.busy
        return {
            self.pictures: gr.update(choices=view.labels(session), value=session.picked),
            self.progress: view.progress(session),
            self.notes: view.notes(session),
            self.restore: gr.update(interactive=not busy),
            self.fit: gr.update(interactive=not busy),
            self.clear: gr.update(interactive=not busy),
            self.stop: gr.update(interactive=busy),
        }

    def _whole(self, session: Session) -> Updates:
        """How far it is, and what can be seen and chosen."""
        return {
            **self._shown(session),
            **self._state(session),
            self.mask: gr.update(choices=list(session.pictures)),
            self.archive: _file(session.archive),
            self.sheet: gr.update(value=None if session.sheet is None else str(session.sheet)),
            self.learned: gr.update(visible=session.sheet is not None),
        }

    def _sources(self, session: Session) -> Any:
        """What can be learned from: all pictures, or one of the clips."""
        clips = [name for name, path in session.pictures.items() if is_clip(path)]
        only_clips = clips and len(clips) == len(session.pictures)
        return gr.update(choices=[ALL, *clips], value=clips[0] if only_clips else ALL)

    def _shown(self, session: Session) -> Updates:
        """The two sides of the picture that is picked."""
        found = view.sides(session, session.picked)
        left, right = (side if side in found else BEFORE for side in (session.left, session.right))
        files = view.pair(session)
        both = None if files is None else tuple(map(str, files))
        slider = not session.side_by_side
        chosen = {"choices": list(found)} if found else {"choices": []}
        return {
            self.left: gr.update(**chosen, value=left if found else None),
            self.right: gr.update(**chosen, value=right if found else None),
            self.slider: gr.update(value=both if slider else None, visible=slider),
            self.row: gr.update(visible=not slider),
            self.one: gr.update(value=both[0] if both and not slider else None),
            self.other: gr.update(value=both[1] if both and not slider else None),
            self.download: _file(found.get(right) if right != BEFORE else None),
            self.notes: view.notes(session),
        }


def _file(path: Path | None) -> Any:
    return gr.update(value=None if path is None else str(path), interactive=path is not None)
