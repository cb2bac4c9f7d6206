"""The documents: their commands and snippets run, their links, files and options exist.

The blocks marked sh, bash or python of README.md and docs/ are run from top to bottom, each
document in a fresh folder with the names that docs/index.md lists, tiny. Left out are the first two
blocks of README.md, which .ci/run runs in full, and blocks below `<!-- not run: reason -->`.

A python block that begins with a comment `# folder/name.py` is that file: it is written there and,
in a folder, imported as `folder.name`. What takes long is shortened by `SHORTER` and `LIMITS`.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from degradations.rain import Rain
from ssl_restore.io import images
from ssl_restore_cli.main import main

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELLS = {"sh", "bash"}
IN_FULL = 2  # blocks of README.md that .ci/run runs
HISTORY = r"the (one|restorer|weights|built-in) (of )?(before|then)|not measured"

SHORTER = [  # (what a document says, what is run)
    (r"--minutes [\d.]+", "--steps 1 --set batch=2"),
    (r"--seconds [\d.]+", "--seconds 1"),
    (r"\bminutes=[\d.]+", "steps=1"),
]
LIMITS = [  # (command, an option that it has, or none, what is added unless a limit is given)
    ("fit", None, ["--steps", "1", "--set", "batch=2"]),
    ("adapt", None, ["--steps", "1"]),
    ("inpaint", None, ["--steps", "2"]),
    ("derain", "--adapt", ["--seconds", "1"]),
    ("denoise", "--zero-shot", ["--seconds", "1"]),
    ("separate", None, ["--steps", "2"]),
    ("dedrop", "--mask", ["--steps", "2"]),
]


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int  # of the document, of the first line of the text
    reason: str | None  # why it is not run


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def blocks(path):
    """Every fenced block of a document."""
    found, lines = [], path.read_text(encoding="utf-8").splitlines()
    start = None
    for number, line in enumerate(lines):
        if start is None and (opened := re.fullmatch(r"```(\w*)", line)):
            start, language = number + 1, opened[1]
        elif start is not None and line == "```":
            above = "\n".join(lines[max(0, start - 3) : start - 1])
            mark = re.search(r"<!-- not run: (.+?) -->\s*$", above)
            text = "\n".join(lines[start:number])
            found.append(Block(language, text, start + 1, mark and mark[1]))
            start = None
    assert start is None, f"{path}: a block is not closed"
    return found


def run_blocks(path):
    """Those to run: shell and python, without what .ci/run runs and what is marked."""
    code = [block for block in blocks(path) if block.language in SHELLS | {"python"}]
    first = IN_FULL if path.name == "README.md" else 0
    return [block for block in code[first:] if block.reason is None]


def shortened(text):
    for said, run in SHORTER:
        text = re.sub(said, run, text)
    return text


def commands(block):
    """Every command of a shell block, as a list of words."""
    lines = block.text.replace("\\\n", " ").splitlines()
    split = [shlex.split(line, comments=True) for line in lines]
    return [words for words in split if words]


def limited(arguments):
    """The words after `ssl-restore`, with a limit for what would take long."""
    if {"--steps", "--seconds", "--resume"} & set(arguments):
        return arguments
    for command, option, limit in LIMITS:
        if arguments[0] == command and (option is None or option in arguments):
            return [*arguments, *limit]
    return arguments


def execute(block, path, monkeypatch, namespace):
    if block.language in SHELLS:
        for words in commands(Block("", shortened(block.text), block.line, None)):
            assert words[0] == "ssl-restore", f"mark this as not run: {shlex.join(words)}"
            result = CliRunner().invoke(main, limited(words[1:]))
            said = f"{name_of(path)}:{block.line}: {shlex.join(words)}\n{result.output}"
            assert result.exit_code == 0, f"{said}\n{result.exception!r}"
        return
    text = shortened(block.text)
    if file := re.match(r"# ([\w/]+\.py)\n", text):
        write_file(Path(file[1]), text, monkeypatch)
    else:
        code = compile("\n" * (block.line - 1) + text, str(path), "exec")
        exec(code, namespace)


def write_file(path, text, monkeypatch):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    if path.parent == Path():
        return
    name = ".".join(path.with_suffix("").parts)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    if hasattr(module, "build"):
        module.build()


def save(path, values):
    """A picture (H, W, 3) of values in [0, 1]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (255 * values).round().clip(0, 255).astype(np.uint8)
    images.write(path, images.Picture(pixels))


def rained_on(values, seed):
    image = torch.from_numpy(values).permute(2, 0, 1)[None]
    prior = Rain(
        angle_rad=(0.1, 0.1), length_px=(20, 20), width_px=(1.5, 1.5), brightness=(0.4, 0.4),
        coverage=(0.25, 0.25), populations=(1, 1), rain_free=0.0,
    )  # fmt: skip
    params = prior.sample(tuple(image.shape), torch.Generator().manual_seed(seed))
    return prior.apply(image, params)[0].permute(1, 2, 0).numpy()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The files and folders that docs/index.md names."""
    folder = tmp_path_factory.mktemp("prepared")
    draws = np.random.default_rng(0)
    sources = sorted((ROOT / "data_samples" / "photos").glob("*.jpg"))[:2]
    for number, source in enumerate(sources):
        whole = cv2.resize(images.read(source).pixels, (168, 160), interpolation=cv2.INTER_AREA)
        whole = whole.astype(np.float32) / 255 * 0.8
        scene = whole[:, :160]  # as large as rain is measured in
        save(folder / "photos" / f"{number}.png", scene)
        save(folder / "clean" / f"{number}.png", scene)
        save(folder / "rainy" / f"{number}.png", rained_on(scene, number))
        save(folder / "hazy" / f"{number}.png", 0.5 * scene + 0.4)
        save(folder / "blurred" / f"{number}.png", cv2.blur(scene[::2, ::2], (5, 1)))
        save(folder / "small" / f"{number}.png", scene[::4, ::4])
        noisy = [scene + draws.normal(0, 0.1, scene.shape) for _ in range(3)]
        save(folder / "noisy" / f"{number}.png", noisy[0])
        for observation in (1, 2):
            save(folder / "bursts" / str(number) / f"{observation}.png", noisy[observation])
    for number in range(3):
        frame = rained_on(whole[:, 2 * number : 2 * number + 160], 10 + number)
        save(folder / "frames" / f"{number}.png", frame)
    write_clip(folder / "clip.mp4", folder / "frames")
    for number in range(12):
        save(folder / "still" / f"{number:02}.png", rained_on(scene, 20 + number))
    write_clip(folder / "camera.mp4", folder / "still")
    shutil.rmtree(folder / "still")
    save(folder / "small.jpg", scene[::4, ::4])
    save(folder / "blurred.jpg", cv2.blur(scene[::2, ::2], (5, 1)))
    save_parts(folder, scene[:96, :112], draws)
    return folder


def save_parts(folder, scene, draws):
    """Single pictures of a small scene."""
    save(folder / "photo.png", scene)
    save(folder / "rainy.jpg", rained_on(scene, 2))
    save(folder / "noisy.jpg", scene + draws.normal(0, 0.1, scene.shape))
    save(folder / "hazy.jpg", 0.5 * scene + 0.4)
    lost = draws.random((*scene.shape[:2], 1)) < 0.1
    save(folder / "scratched.png", np.where(lost, 0, scene))
    save(folder / "mask.png", np.float32(lost))
    marked = np.zeros_like(lost, float)
    marked[30:70, 40:90] = 1
    for name, mask, light in (("shaded", "shadow", 0.4), ("wet", "drops", 1.6)):
        save(folder / f"{name}.png", np.where(marked > 0, light * scene, scene))
        save(folder / f"{mask}.png", marked)
    for number, weight in ((1, 0.7), (2, 0.3)):
        save(folder / f"mixture{number}.png", weight * scene + (1 - weight) * scene[::-1])
    marks = np.full(scene.shape, 128 / 255)
    marks[80:90, 100:110], marks[:10, :10] = 1, 0
    save(folder / "hints.png", marks)


def write_clip(path, frames):
    size = (160, 160)
    clip = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, size)
    for frame in sorted(frames.glob("*.png")):
        clip.write(cv2.imread(str(frame)))
    clip.release()


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if run_blocks(p)], ids=name_of)
def test_its_commands_and_snippets_run(path, prepared, tmp_path, monkeypatch):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    given = run_blocks(path)
    if not any("-o runs/mine" in block.text for block in given):
        Path("runs/mine").mkdir(parents=True)
        shutil.copy(
            ROOT / "ssl_restore/weights/derain.safetensors", "runs/mine/restorer.safetensors"
        )
    namespace = {"__name__": "__document__"}
    for block in given:
        execute(block, path, monkeypatch, namespace)


def options_of(command):
    return {option for parameter in command.params for option in parameter.opts} | {"-h", "--help"}


def every_option():
    """Those of the commands, and of the programs in benchmarks/."""
    known = {"--version"}.union(*(options_of(main.get_command(None, n)) for n in NAMES))
    for program in (ROOT / "benchmarks").glob("*.py"):
        known |= set(re.findall(r'"(--[a-z][a-z-]*)"', program.read_text(encoding="utf-8")))
    return known


NAMES = main.list_commands(None)
each = pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)


@each
def test_its_commands_and_options_exist(path):
    for block in blocks(path):
        if block.language not in SHELLS:
            continue
        for words in commands(block):
            if words[0] == "ssl-restore" and not words[1].startswith("-"):
                known = options_of(main.get_command(None, words[1]))
                named = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
                assert named <= known, f"{path}:{block.line}: {shlex.join(words)}"


@each
def test_what_its_sentences_name_exists(path):
    """Commands, options and files between backquotes."""
    prose = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    code = re.findall(r"`([^`]+)`", prose)
    options = {option for text in code for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", text)}
    assert options <= every_option()
    called = {name for text in code for name in re.findall(r"ssl-restore ([a-z]\S*)", text)}
    assert called <= set(NAMES)
    tops = ("benchmarks/", "degradations/", "ssl_restore/", "cli/", "tests/", "docs/", ".ci/")
    files = [text for text in code if text.startswith(tops) and " " not in text]
    missing = [text for text in files if "NAME" not in text and not (ROOT / text).exists()]
    assert missing == []


def slugs(path):
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w-]+", "-", re.sub(r"[`()]", "", h).lower()).strip("-") for h in headings}


@each
def test_its_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        file = path.parent / target if target else path
        generated = ROOT / "benchmarks" / target  # docs/hooks.py puts them there
        assert file.exists() or (path.parent == ROOT / "docs" and generated.is_file()), link
        assert not anchor or anchor in slugs(file), link


@each
def test_it_holds_no_history(path):
    assert re.findall(HISTORY, path.read_text(encoding="utf-8")) == []


def test_the_readme_is_short_and_begins_with_the_blocks_that_ci_runs():
    readme = ROOT / "README.md"
    assert len(readme.read_text(encoding="utf-8").splitlines()) <= 130
    first, second, *others = (block for block in blocks(readme) if block.language in SHELLS)
    assert first.language == second.language == "sh"
    assert ".venv/bin/ssl-restore derain" in first.text
    assert ".venv/bin/pytest" in second.text
    assert {block.language for block in others} == {"bash"}


def test_a_block_that_is_not_run_is_marked_and_says_why():
    marked = [block for path in DOCUMENTS for block in blocks(path) if block.reason is not None]
    assert all(len(block.reason) > 10 for block in marked)
    written = [path.read_text(encoding="utf-8").count("<!-- not run") for path in DOCUMENTS]
    assert len(marked) == sum(written)


def test_the_site_builds_without_warnings(tmp_path):
    pytest.importorskip("mkdocs", reason="needs the extra `docs`")
    pytest.importorskip("mkdocstrings", reason="needs the extra `docs`")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stderr
    assert (tmp_path / "reference" / "degradations" / "index.html").is_file()
