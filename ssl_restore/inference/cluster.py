"""Work on very many pictures, spread over the machines of a Ray cluster.

The process that calls it plans, keeps the manifest and says what failed.  On every machine workers,
one a core or one a GPU, take a picture at a time: they read, restore and write it.  When a file is
whole, and before it takes its name, its worker waits until the file has its line in the manifest.
A picture whose worker died goes to another one.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ssl_restore.errors import UserError
from ssl_restore.inference.ray_connection import connected
from ssl_restore.inference.worker import End, Task, Worker, Written
from ssl_restore.io import files
from ssl_restore.io.disk import DiskFull
from ssl_restore.io.jobs import Job
from ssl_restore.io.manifest import Whole, identity
from ssl_restore.io.stored import StoredJob

MEMORY = 2_000_000_000  # bytes for a worker: `derain` takes 1.5e9 for 12 megapixels
LOOK_S = 5.0  # between two looks for machines that have come or gone
TRIES = 3  # workers that may die of a picture, or while they start on a machine

Finished = Callable[[Any, "str | None"], None]


def run_all(
    address: str,
    jobs: Sequence[Job | StoredJob],
    how: partial[list[str]],
    *,
    device: str = "auto",
    shared: Sequence[Path] = (),
    finished: Finished = lambda job, failure: None,
    progress: Callable[[int], None] = lambda pictures: None,
    notify: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """Do every job on a cluster; returns one line for each picture that could not be restored.

    Args:
        address: HOST:PORT of the head of a Ray cluster, or `local`, which starts one here while
            it lasts, with a worker a core, and `local:2` one of two workers.
        jobs: Pictures, no clips.
        how: As of `Worker`.
        device: As of `Worker`; `auto` takes the GPUs of a machine, where it has any.
        shared: Files that every machine must see.
        finished: Called with a job and None when its files are there, or with a line.
        progress: Called as pictures are done, or have failed.
        notify: Called with what restorers say of pictures, and when a machine cannot be used.

    Raises:
        UserError: Where the address does not answer, no machine can be used, or a disk is full.
    """
    local = [job for job in jobs if isinstance(job, Job)]
    folders = {path.parent for job in local for path in (job.target, job.layer) if path}
    with connected(address) as ray:
        for folder in folders:
            files.remove_strays(folder)
        run = _Run(ray, jobs, how, device, shared, finished, progress, notify)
        try:
            run.to_end()
        finally:
            run.commit()
        for folder in folders:  # of workers that died
            files.remove_strays(folder)
    return run.skipped


@dataclass
class _Hand:
    """A worker of a machine, and what it does."""

    actor: Any
    node: str
    host: str
    started: bool = False
    job: int | None = None
    written: Whole | None = None  # has its line


@dataclass
class _Run:
    """All jobs, on the machines that are there."""

    ray: Any
    jobs: Sequence[Job | StoredJob]
    how: partial[list[str]]
    device: str
    shared: Sequence[Path]
    finished: Finished
    progress: Callable[[int], None]
    notify: Callable[[str], None]
    skipped: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left = deque(range(len(self.jobs)))
        self._tries: Counter[int] = Counter()
        self._unstarted: Counter[str] = Counter()  # workers of a machine that died at once
        self._hands: list[_Hand] = []
        self._steps: dict[Any, _Hand] = {}  # by what they will return
        self._checks: dict[Any, str] = {}  # of machines, by what they will return
        self._unfit: dict[str, str] = {}  # machine -> why
        self._fit: set[str] = set()
        self._work = self.ray.put(self.how)
        self._looked = -LOOK_S

    def to_end(self) -> None:
        """Until every job is done, or has failed."""
        while self._left or any(hand.job is not None for hand in self._hands):
            self._look()
            waiting = [*self._steps, *self._checks]
            if not waiting:
                time.sleep(LOOK_S / 10)
                continue
            ready, _ = self.ray.wait(waiting, timeout=LOOK_S)
            if ready:
                ready, _ = self.ray.wait(waiting, num_returns=len(waiting), timeout=0)
            self._take(ready)

    def _take(self, ready: Sequence[Any]) -> None:
        """What machines and workers have returned."""
        recorded = []
        for ref in ready:
            if ref in self._checks:
                self._checked(self._checks.pop(ref), ref)
                continue
            hand = self._steps.pop(ref)
            try:
                step = self.ray.get(ref)
            except self.ray.exceptions.RayError as error:
                self._lost(hand, error)
                continue
            hand.started = True
            if isinstance(step, Written):
                self._record(hand, step)
                recorded.append(hand)
                continue
            if isinstance(step, End):
                self._end(hand, step)
            if self._left:
                hand.job = self._left.popleft()
                self._steps[hand.actor.begin.remote(Task.of(self.jobs[hand.job]))] = hand
        if recorded:
            self.commit()
        for hand in recorded:
            self._steps[hand.actor.go_on.remote()] = hand

    def commit(self) -> None:
        """Put the lines of objects that wait; all have one manifest."""
        if isinstance(self.jobs[0], StoredJob):
            self.jobs[0].manifest.commit()

    def _record(self, hand: _Hand, step: Written) -> None:
        assert hand.job is not None
        job = self.jobs[hand.job]
        path = job.layer if step.is_layer else job.target
        if job.record is not None:
            job.record(path, step.whole)  # type: ignore[arg-type]
        hand.written = None if step.is_layer else step.whole

    def _end(self, hand: _Hand, step: End) -> None:
        assert hand.job is not None
        job = self.jobs[hand.job]
        if step.disk_full:
            raise DiskFull(step.failure or "")
        if step.stored is not None and isinstance(job, StoredJob):
            job.record(None, step.stored)
        for line in step.notes:
            self.notify(line)
        self._finish(hand, step.failure)

    def _finish(self, hand: _Hand, failure: str | None) -> None:
        assert hand.job is not None
        if failure is not None:
            self.skipped.append(failure)
        self.finished(self.jobs[hand.job], failure)
        self.progress(1)
        hand.job = hand.written = None

    def _lost(self, hand: _Hand, error: Exception) -> None:
        """A worker died: another one takes its picture, unless that is done."""
        self._hands.remove(hand)
        if not hand.started:
            self._unstarted[hand.node] += 1
            if self._unstarted[hand.node] >= TRIES:
                reason = str(getattr(error, "cause", None) or error).strip().split("\n")[-1]
                self._refuse(hand.node, f"{hand.host}: its workers die as they start ({reason})")
        if hand.job is None:
            return
        job = self.jobs[hand.job]
        self._tries[hand.job] += 1
        if hand.written is not None and isinstance(job, Job) and _is_there(job, hand.written):
            self._finish(hand, None)
        elif self._tries[hand.job] == TRIES:
            self._finish(
                hand, f"{job.source}: {TRIES} workers died of it; restore it alone, or see whether "
                "their machines have memory enough",
            )  # fmt: skip
        else:
            self.notify(f"{job.source}: its worker on {hand.host} died; another one takes it")
            self._left.appendleft(hand.job)

    def _look(self) -> None:
        """Check machines that are new, and start the workers that are missing."""
        if time.monotonic() - self._looked < LOOK_S and not self._checks and self._steps:
            return
        self._looked = time.monotonic()
        alive = {node["NodeID"]: node for node in self.ray.nodes() if node["Alive"]}
        for name, node in alive.items():
            count = workers(node["Resources"], self.device)
            known = name in self._fit or name in self._unfit or name in self._checks.values()
            if count and not known:
                self._checks[_check(self.ray, name, self.shared)] = name
            there = sum(hand.node == name for hand in self._hands)
            wanted = min(count - there, len(self._left) - self._idle())
            for _ in range(wanted if name in self._fit else 0):
                self._hands.append(self._started(node))
        if not self._checks and not any(name in self._fit for name in alive):
            raise UserError(
                "no machine of the cluster can be used" if self._unfit
                else "no machine of the cluster has a core",
                parameter="cluster",
            )  # fmt: skip

    def _idle(self) -> int:
        """Workers that have started or will, and have no picture yet."""
        return sum(hand.job is None for hand in self._hands)

    def _started(self, node: dict[str, Any]) -> _Hand:
        gpu = _gpus(node["Resources"], self.device) > 0
        actor = self.ray.remote(Worker).options(
            num_cpus=1, num_gpus=int(gpu), max_restarts=0,
            memory=min(MEMORY, int(node["Resources"].get("memory", 0))),
            scheduling_strategy=_only_on(self.ray, node["NodeID"]),
        ).remote(self._work, self.device)  # fmt: skip
        hand = _Hand(actor, node["NodeID"], node["NodeManagerAddress"])
        self._steps[actor.ready.remote()] = hand
        return hand

    def _checked(self, node: str, ref: Any) -> None:
        try:
            problem = self.ray.get(ref)
        except self.ray.exceptions.RayError as error:
            problem = f"{node}: {str(error).strip().splitlines()[-1]}"
        if problem is None:
            self._fit.add(node)
        else:
            self._refuse(node, problem)
        self._looked = -LOOK_S

    def _refuse(self, node: str, why: str) -> None:
        self._fit.discard(node)
        self._unfit[node] = why
        self.notify(f"{why}; it is left out")


def _is_there(job: Job, whole: Whole) -> bool:
    try:
        return identity(job.target) == whole.identity
    except OSError:
        return False


def _gpus(resources: dict[str, float], device: str) -> int:
    return 0 if device == "cpu" else int(resources.get("GPU", 0))


def workers(resources: dict[str, float], device: str) -> int:
    """How many a machine takes: one a GPU, where it has any, else one a core, as memory allows."""
    cores = int(resources.get("CPU", 0))
    most = min(cores, max(1, int(resources.get("memory", 0) // MEMORY)))
    gpus = _gpus(resources, device)
    return min(most, gpus) if gpus else most


def _only_on(ray: Any, node: str) -> Any:
    return ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)


def _check(ray: Any, node: str, shared: Sequence[Path]) -> Any:
    """A reference to why a machine cannot be used, or None."""
    from ssl_restore import __version__  # noqa: PLC0415

    paths = [str(path.absolute()) for path in shared if path.exists()]

    def problem(version: str, paths: list[str]) -> str | None:  # sent as code: it may lack ours

        host = socket.gethostname()
        try:
            import ssl_restore  # noqa: PLC0415
        except ImportError as error:
            return f"{host}: ssl-restore is not installed there ({error}); install {version}"
        if ssl_restore.__version__ != version:
            return f"{host}: has ssl-restore {ssl_restore.__version__}; install {version} there"
        for path in paths:
            if not os.path.exists(path):
                return f"{host}: does not see {path}; give folders that all machines share"
        return None

    where = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": _only_on(ray, node)}
    return ray.remote(problem).options(**where).remote(__version__, paths)
