"""Do two checkouts of this project give the same results?  For changes that must change none.

    python benchmarks/compare_checkouts.py OLD NEW [--only derain,fit] [--keep DIR]

OLD and NEW are checkouts, each with the package installed in its own virtual environment,
CHECKOUT/.venv (Linux or macOS).  Small pictures are made from those bundled with OLD, the same
command lines are run in both, each in a folder of its own outside of both, and all that was written
is compared: pictures and clips by decoded values (alpha, ICC profile and EXIF, too), .json, .jsonl
and .csv by parsed values, .safetensors and the state of a run by tensors, stdout as text.  Left out
are times (columns and keys `seconds` and `Mpixel/s`, numbers before ` s`), keys `version`, and the
folder of what is named by its whole path.

Names may change, what they name may not: where headings of a .csv differ, its columns are compared
by their places, keys of .json and names of tensors without a partner likewise, if there are as many
in both, and a file may have another name if it is the only one of its suffix in its folder that
has.  New names are said, as are a checkpoint's header and messages on stderr that differ, and do
not count.

A line for each case: `same`, or `differs: what, largest difference`.  Exits with 1 when something
differs, or a command fails.  --only takes the beginnings of names of cases: `derain`, `synth/`,
`fit/rrcl`.  --keep DIR leaves inputs and results there.

The commands run with OMP_NUM_THREADS=1 and without a GPU, so that results do not depend on how many
threads form a sum; --jobs of them side by side.  `denoise --zero-shot` and `derain --adapt`, which
learn by the clock, are left out.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms
from safetensors import safe_open
from safetensors.torch import load_file

LEFT_OUT = {"seconds", "mpixel/s", "version"}  # keys and headings
STDOUT, STDERR = "stdout.txt", "stderr.txt"
COMMANDS = ("adapt", "calibrate", "denoise", "derain", "evaluate", "fit", "recipes", "synth",
            "synth-rain")  # fmt: skip
DEFAULT_RECIPE = "derain_unpaired"
RAINY_RECIPES = {DEFAULT_RECIPE, "physics_gan", "rrcl"}  # those named _physics need clean ones only
SMALL = ("--set", "batch=4", "--set", "patch=32")
SIDE_PX = 192
ABOUT = """
import importlib, json
from importlib import metadata
entry = next(iter(metadata.entry_points(group="console_scripts", name="ssl-restore")))
names = ("torch", "numpy", "scipy", "opencv-python-headless", "pillow", "matplotlib")
versions = {name: metadata.version(name) for name in names}
print(json.dumps([importlib.import_module(entry.module).__file__, versions]))
"""

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """Command lines that are run one after the other in a folder of their own."""

    name: str
    commands: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Difference:
    """`size` is the largest difference of numbers; None where they are not numbers.

    What is only to be said does not `count`.
    """

    what: str
    size: float | None = None
    counts: bool = True


# How values, files and folders are compared


def differences(old: Any, new: Any, place: str = "") -> Iterator[Difference]:
    """Between two values of mappings, sequences, arrays, tensors, numbers and texts."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _of_mappings(old, new, place)
    elif isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        if len(old) != len(new):
            yield Difference(f"{place}: {len(old)} entries against {len(new)}".lstrip(": "))
        for index, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from differences(one, other, f"{place}[{index}]")
    elif isinstance(old, (np.ndarray, torch.Tensor)) and isinstance(new, type(old)):
        yield from _of_arrays(old, new, place)
    elif _is_number(old) and _is_number(new):
        if not (old == new or (math.isnan(old) and math.isnan(new))):
            apart = abs(old - new)
            yield Difference(place, math.inf if math.isnan(apart) else float(apart))
    elif isinstance(old, bytes) and isinstance(new, bytes):
        if old != new:
            yield Difference(f"another {place}")
    elif _last_part(old) != _last_part(new):
        yield Difference(f"{place}: {_short(old)} against {_short(new)}")


def _of_mappings(
    old: Mapping[Any, Any], new: Mapping[Any, Any], place: str
) -> Iterator[Difference]:
    """By their keys; of what has no partner by its place, if there is as much of it in both."""
    keys, new_keys = ([k for k in m if str(k).lower() not in LEFT_OUT] for m in (old, new))
    gone, added = [k for k in keys if k not in new], [k for k in new_keys if k not in old]
    pairs = [(key, key) for key in keys if key in new]
    if len(gone) == len(added):
        pairs += zip(gone, added, strict=True)
        gone, added = [], []
    for key, other in pairs:
        inner = f"{place}.{key}" if place else str(key)
        if key != other:
            yield Difference(f"{inner} is {other} in NEW", counts=False)
        yield from differences(old[key], new[other], inner)
    for side, names in (("OLD", gone), ("NEW", added)):
        for key in names:
            yield Difference(f"{place}.{key} is only in {side}".lstrip("."))


def _of_arrays(old: Any, new: Any, place: str) -> Iterator[Difference]:
    form, other = (f"{tuple(array.shape)} {array.dtype}" for array in (old, new))
    if form != other:
        yield Difference(f"{place}: {form} against {other}")
        return
    a, b = (np.asarray(v.double() if isinstance(v, torch.Tensor) else v, float) for v in (old, new))
    unlike = (a != b) & ~(np.isnan(a) & np.isnan(b))
    if unlike.any():
        apart = np.nan_to_num(np.abs(a - b)[unlike], nan=math.inf, posinf=math.inf)
        yield Difference(f"{place}, {unlike.mean():.2%} of the values", float(apart.max()))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _last_part(value: Any) -> Any:
    """Of a whole path: checkouts lie in different places."""
    if isinstance(value, str) and value.startswith("/") and "\n" not in value:
        return value.rstrip("/").rpartition("/")[2]
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def compare_files(old: Path, new: Path) -> list[Difference]:
    """What differs in two files of one suffix."""
    if old.name in (STDOUT, STDERR):
        return list(_of_lines(_lines(old), _lines(new), counts=old.name == STDOUT))
    if old.suffix == ".csv":
        return list(_of_tables(_rows(old), _rows(new)))
    found = list(differences(read(old), read(new)))
    if old.suffix == ".safetensors":
        for difference in differences(_header(old), _header(new)):
            found.append(Difference(f"header: {difference.what}", difference.size, counts=False))
    return found


def read(path: Path) -> Any:
    """What a file holds, by its suffix; the bytes of a kind that is not known."""
    for kinds, decoded in READERS:
        if path.suffix.lower() in kinds:
            return decoded(path)
    return {"content": path.read_bytes()}


def _picture(path: Path) -> dict[str, Any]:
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise OSError("not a picture")
    has_alpha = values.ndim == 3 and values.shape[2] == 4
    found: dict[str, Any] = {"pixels": values[:, :, :3] if has_alpha else values}
    if has_alpha:
        found["alpha"] = values[:, :, 3]
    with Image.open(path) as image:
        found["ICC profile"] = image.info.get("icc_profile") or b""
        found["EXIF"] = image.getexif().tobytes()
    return found


def _clip(path: Path) -> list[Pixels]:
    clip, frames = cv2.VideoCapture(str(path)), []
    more, frame = clip.read()
    while more:
        frames.append(frame)
        more, frame = clip.read()
    if not frames:
        raise OSError("not a clip")
    return frames


def _json_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


READERS: list[tuple[set[str], Callable[[Path], Any]]] = [
    ({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"}, _picture),
    ({".mp4", ".m4v", ".mov", ".avi", ".mkv"}, _clip),
    ({".json"}, lambda path: json.loads(path.read_text(encoding="utf-8"))),
    ({".jsonl"}, _json_lines),
    ({".safetensors"}, load_file),
    ({".pt"}, lambda path: torch.load(path, map_location="cpu", weights_only=True)),
]


def _header(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return {key: json.loads(text) for key, text in (file.metadata() or {}).items()}


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [*csv.reader(file)] or [[]]


def _of_tables(old: list[list[str]], new: list[list[str]]) -> Iterator[Difference]:
    """Column by column: by the headings, or by place where these differ."""
    (heads, *rows), (new_heads, *new_rows) = old, new
    if sorted(heads) == sorted(new_heads):
        places = [new_heads.index(head) for head in heads]
    else:
        renamed = [f"{a} is {b}" for a, b in zip_longest(heads, new_heads) if a != b]
        yield Difference(f"compared by place, headings differ: {', '.join(renamed)}", counts=False)
        places = list(range(len(new_heads)))
    if len(places) != len(heads):
        yield Difference(f"{len(heads)} columns against {len(places)}")
    if len(rows) != len(new_rows):
        yield Difference(f"{len(rows)} rows against {len(new_rows)}")
    for column, (head, place) in enumerate(zip(heads, places, strict=False)):
        if {head.lower(), new_heads[place].lower()} & LEFT_OUT:
            continue
        for number, (row, new_row) in enumerate(zip(rows, new_rows, strict=False), start=1):
            pair = _value(row[column]), _value(new_row[place])
            yield from differences(*pair, f"{head} in row {number}")


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _lines(path: Path) -> list[str]:
    return without_times(path.read_text(encoding="utf-8")).splitlines()


def _of_lines(old: Sequence[str], new: Sequence[str], *, counts: bool) -> Iterator[Difference]:
    """The first line that differs."""
    for number, (one, other) in enumerate(zip_longest(old, new), start=1):
        if one != other:
            pairs = enumerate(zip_longest(one or "", other or ""))
            begin = max(0, next((at for at, (a, b) in pairs if a != b), 0) - 20)
            cut = [_short(line if line is None else line[begin:]) for line in (one, other)]
            yield Difference(f"line {number}: {' against '.join(cut)}", counts=counts)
            return


def without_times(text: str) -> str:
    """Numbers before ` s` and ` Mpixel/s` become #, and so does what is below such a heading."""
    text = re.sub(r"\d+(\.\d+)?(?= ?(s|seconds|Mpixel/s)\b)", "#", text)
    lines, spans, width = [], list[tuple[int, int]](), 0
    for line in text.splitlines():
        words = [match.span() for match in re.finditer(r"\S+(?: \S+)*", line)]
        timed = [at for at, word in enumerate(words) if line[slice(*word)].lower() in LEFT_OUT]
        kept = line
        if timed:  # numbers end below the ends of the words of their heading
            ends = [0, *(end for _, end in words)]
            spans, width = [(ends[at], ends[at + 1]) for at in timed], len(line)
        else:
            if len(line) != width:
                spans = []  # the table is at its end
            for low, high in spans:
                kept = kept[:low] + "#".rjust(high - low) + kept[high:]
        lines.append(kept)
    return "\n".join(lines)


def compare_folders(old: Path, new: Path) -> list[tuple[str, Difference]]:
    """(file, difference) of all files of two folders."""
    found: list[tuple[str, Difference]] = []
    for name, other in paired(_names(old), _names(new)):
        if name is None or other is None:
            found.append((str(name or other), Difference(f"only in {'NEW' if other else 'OLD'}")))
            continue
        if name != other:
            found.append((name, Difference(f"is {other} in NEW", counts=False)))
        try:
            unlike = compare_files(old / name, new / other)
        except Exception as error:  # readers raise many kinds for what they cannot read
            unlike = [Difference(f"cannot be compared: {type(error).__name__}: {error}")]
        found += [(name, difference) for difference in unlike]
    return found


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def paired(old: set[str], new: set[str]) -> Iterator[tuple[str | None, str | None]]:
    """The same names; of the others those that are alone of their suffix in their folder."""
    yield from ((name, name) for name in sorted(old & new))
    left, right = _by_kind(old - new), _by_kind(new - old)
    for kind in sorted({*left, *right}):
        ours, theirs = left.get(kind, []), right.get(kind, [])
        if len(ours) == len(theirs) == 1:
            yield ours[0], theirs[0]
        else:
            yield from ((name, None) for name in ours)
            yield from ((None, name) for name in theirs)


def _by_kind(names: set[str]) -> dict[tuple[Path, str], list[str]]:
    groups: dict[tuple[Path, str], list[str]] = {}
    for name in sorted(names):
        groups.setdefault((Path(name).parent, Path(name).suffix), []).append(name)
    return groups


def verdict(found: Sequence[tuple[str, Difference]]) -> tuple[bool, str]:
    """Whether all is the same, and the words for it."""
    wrong: dict[str, list[Difference]] = {}
    for name, difference in found:
        if difference.counts:
            wrong.setdefault(name, []).append(difference)
    aside = _first([f"{name}: {d.what}" for name, d in found if not d.counts])
    aside = f"  (not counted: {aside})" if aside else ""
    if not wrong:
        return True, f"same{aside}"
    lines = []
    for name, own in sorted(wrong.items(), key=lambda one: not one[0].endswith(".safetensors")):
        sized = sorted((d for d in own if d.size is not None), key=lambda d: -(d.size or 0))
        words = [d.what for d in own if d.size is None]
        words += [f"{d.what}, largest difference {d.size:.3g}" for d in sized]
        lines.append(f"{name}: {_first(words, ' and ')}")
    return False, f"differs: {_first(lines)}{aside}"


def _first(lines: Sequence[str], between: str = "; ") -> str:
    more = [f"{len(lines) - 3} more"] if len(lines) > 3 else []
    return between.join([*lines[:3], *more])


# What is run


def program(checkout: Path, *words: str) -> list[str]:
    """By the interpreter of the checkout: the script of a copied folder names another one."""
    programs = checkout / ".venv" / "bin"
    return [str(programs / "python"), str(programs / "ssl-restore"), *words]


def run(words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    outer = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    inner = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "100"}
    return subprocess.run(
        words, cwd=folder, env=outer | inner, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip


def run_case(checkout: Path, case: Case, folder: Path) -> str | None:
    """Run a case in a new folder and write there what it said.

    Why a command failed, after which no other is run; None when all went well.
    """
    folder.mkdir(parents=True)
    said: dict[str, list[str]] = {STDOUT: [], STDERR: []}
    failure = None
    for words in case.commands:
        done = run(program(checkout, *words), folder)
        for name, text in ((STDOUT, done.stdout), (STDERR, done.stderr)):
            anywhere = text.replace(str(folder), "FOLDER").replace(str(checkout), "CHECKOUT")
            said[name].append(f"$ ssl-restore {' '.join(words)}\n{anywhere}")
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
            failure = f"ssl-restore {words[0]}: exit code {done.returncode}: {last}"
            break
    for name, texts in said.items():
        (folder / name).write_text("\n".join(texts), encoding="utf-8")
    return failure


def judge(failures: Sequence[str | None], old: Path, new: Path) -> tuple[bool, str]:
    """The verdict on a case, by why it failed in OLD and in NEW, and by its folders."""
    told = [f"{side}: {text}" for side, text in zip(("OLD", "NEW"), failures, strict=True) if text]
    if told:
        return False, f"differs: a command fails, {'; '.join(told)}"
    return verdict(compare_folders(old, new))


def installed(checkout: Path, folder: Path) -> dict[str, str]:
    """Versions of packages; SystemExit where the package is not that of the checkout."""
    words = program(checkout)
    for word in words:
        if not Path(word).is_file():
            sys.exit(f"{checkout}: no {word}; install the package into {checkout}/.venv first")
    done = run([words[0], "-c", ABOUT], folder)
    if done.returncode:
        sys.exit(f"{checkout}: its ssl-restore cannot be imported:\n{done.stderr}")
    home, versions = json.loads(done.stdout)
    if not Path(home).resolve().is_relative_to(checkout):
        sys.exit(f"{checkout}: its .venv holds the package of {home}; install its own")
    return dict(versions)


def listed(checkout: Path, name: str, folder: Path) -> list[str]:
    """The names that `ssl-restore recipes` or `synth` lists."""
    done = run(program(checkout, name), folder)
    if done.returncode:
        sys.exit(f"{checkout}: ssl-restore {name} failed:\n{done.stderr}")
    return [line.split()[0] for line in done.stdout.splitlines() if line.strip()]


def cases(inputs: Path, recipes: Sequence[str], degradations: Sequence[str]) -> list[Case]:
    """All of them, on the pictures of `write_inputs`."""
    rainy, clean, noisy = (str(inputs / name) for name in ("rainy", "clean", "noisy"))
    kinds, frames, photos = (str(inputs / name) for name in ("kinds", "frames", "photos"))
    wet, grainy, photo = f"{rainy}/example.png", f"{noisy}/0_a.png", f"{photos}/0.png"
    derain, denoise = ("derain", wet, "out.png"), ("denoise", grainy, "out.png")
    adapt, rain = ("adapt", frames, "out", "--steps"), ("synth-rain", photos, "set")
    fit = ("fit", "--images", rainy, "-o", "run", *SMALL)
    made: dict[str, tuple[tuple[str, ...], ...]] = {
        "lists": (("--help",), ("recipes",), ("synth",), *((name, "-h") for name in COMMANDS)),
        "derain/file": (derain,),
        "derain/folder": (("derain", kinds, "out"),),
        "derain/best": ((*derain, "--quality", "best"),),
        "derain/veil": ((*derain, "--veil"),),
        "derain/tile": ((*derain, "--tile", "64"),),
        "derain/fp32": ((*derain, "--precision", "fp32"),),
        "denoise/file": (denoise,),
        "denoise/folder": (("denoise", kinds, "out"),),
        "denoise/strength": ((*denoise, "--strength", "0.5"),),
        "denoise/grain": ((*denoise, "--grain", "2"),),
        "denoise/best": ((*denoise, "--quality", "best"),),
        "adapt/frame2frame": ((*adapt, "10", "--method", "frame2frame"),),
        "adapt/restore_from_restored": ((*adapt, "10", "--method", "restore_from_restored"),),
        "adapt/online": ((*adapt, "3", "--online"),),
        "adapt/derain": (("adapt", frames, "out.avi", "--steps", "5", "--task", "derain"),),
        "synth-rain/mixed": (rain,),
        "synth-rain/storm": ((*rain, "--preset", "storm", "--haze", "--noise", "--drops"),),
        "synth-rain/night": ((*rain, "--preset", "night"),),
        "synth-rain/physics": ((*rain, "--rate", "40", "--exposure", "1/100"),),
        "synth-rain/frames": (("synth-rain", photo, "set", "--frames", "3", "--video"),),
        "synth-rain/like": (
            ("calibrate", rainy, "-o", "rain.json"),
            (*rain, "--like", "rain.json"),
        ),
        "synth/blur,noise,jpeg": (
            ("synth", "blur,noise,jpeg", photos, "set", "--set", "noise.sigma=0.05"),
        ),
    }
    made |= {f"synth/{name}": (("synth", name, photo, "set"),) for name in degradations}
    made |= {
        "calibrate/rain": (
            ("calibrate", rainy, "-o", "rain.json", "--focal-px", "500", "--exposure-s", "0.01"),
        ),
        "calibrate/noise": (("calibrate", "--noise", noisy, "-o", "noise.json"),),
        "evaluate/csv": (("evaluate", rainy, clean, "--csv", "scores.csv"),),
        f"fit/{DEFAULT_RECIPE}": (
            (*fit, "--steps", "50"),
            (*derain, "--weights", "run/restorer.safetensors"),
        ),
        "fit/from-scratch": ((*fit, "--from-scratch", "--steps", "10"),),
    }
    for name in recipes:
        shown = ("--images", rainy if name in RAINY_RECIPES else noisy)
        needed = () if name.endswith("_physics") else shown
        learn = ("fit", *needed, "--recipe", name, "-o", "run", *SMALL, "--steps", "10")
        made.setdefault(f"fit/{name}", (learn,))
    return [Case(name, commands) for name, commands in made.items()]


# What the commands are given


def write_inputs(samples: Path, folder: Path) -> None:
    """Small pictures made from those bundled, always the same.

    photos/  three photographs            rainy/, clean/  pairs, the first one of real rain
    noisy/   two scenes, each seen twice  frames/         a camera that moves, with noise
    kinds/   16 bit, alpha, grey, 8 bit with a profile, a turned JPEG
    """
    draws = np.random.default_rng(0)
    files = sorted((samples / "photos").glob("*.jpg"))
    if len(files) < 3:
        sys.exit(f"{samples}/photos: no pictures there; OLD must be a checkout that has them")
    whole = [_decoded(path) for path in files[:: len(files) // 3][:3]]
    photos = [_middle(picture, SIDE_PX) for picture in whole]
    rainy = [_with_streaks(picture, draws) for picture in photos]
    example = _middle(_decoded(samples / "rainy_example.png"), 256)
    made = {"rainy/example": example, "clean/example": cv2.medianBlur(example, 5)}
    for number, (photo, rained) in enumerate(zip(photos, rainy, strict=True)):
        made |= {f"{kind}/{number}": photo for kind in ("photos", "clean")}
        made[f"rainy/{number}"] = rained
    for name in ("0_a", "0_b", "1_a", "1_b"):
        made[f"noisy/{name}"] = _with_noise(photos[int(name[0])], 15, draws)
    for number in range(6):
        window = whole[0][64:192, 64 + 3 * number : 224 + 3 * number]
        made[f"frames/{number}"] = _with_noise(window, 25, draws)
    deep = _with_noise(257 * rainy[0].astype(np.uint16), 257 * 5, draws)
    alpha = np.tile(np.linspace(0, 255, SIDE_PX).astype(np.uint8), (SIDE_PX, 1))
    made["kinds/deep"], made["kinds/alpha"] = deep, np.dstack((rainy[1], alpha))
    made["kinds/deep_alpha"] = np.dstack((deep, 257 * alpha.astype(np.uint16)))[:129, :150]
    made["kinds/grey"] = rainy[2].mean(axis=2).astype(np.uint8)
    for name, pixels in made.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), pixels):
            sys.exit(f"{path}: could not be written")
    plain = Image.fromarray(np.ascontiguousarray(rainy[0][:, :, ::-1]))
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    icc = icc[:24] + bytes(12) + icc[36:]  # without the date on which it was made
    plain.save(folder / "kinds" / "profile.png", icc_profile=icc)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"  # orientation: to be turned by 90 degrees
    plain.crop((0, 0, 150, 101)).save(folder / "kinds" / "turned.jpg", exif=exif, quality=95)


def _decoded(path: Path) -> Pixels:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        sys.exit(f"{path}: cannot be read; OLD must be a checkout with its pictures")
    return pixels


def _middle(pixels: Pixels, side: int) -> Pixels:
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def _with_noise(pixels: Pixels, sigma: float, draws: np.random.Generator) -> Pixels:
    noisy = pixels + draws.normal(0, sigma, pixels.shape)
    return noisy.round().clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)


def _with_streaks(pixels: Pixels, draws: np.random.Generator) -> Pixels:
    """Slanting lines of light, a little blurred."""
    height, width = pixels.shape[:2]
    layer: Pixels = np.zeros((height, width), np.float32)
    for x, y, length, light in draws.uniform((0, -20, 15, 30), (width, height, 35, 90), (120, 4)):
        end = int(x + length / 5), int(y + length)
        cv2.line(layer, (int(x), int(y)), end, light, 1, cv2.LINE_AA)
    layer = cv2.GaussianBlur(layer, (0, 0), 0.6)
    return (pixels + layer[:, :, None]).round().clip(0, 255).astype(np.uint8)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("old", metavar="OLD", type=Path, help="Checkout with a .venv.")
    parser.add_argument("new", metavar="NEW", type=Path, help="Checkout with a .venv.")
    parser.add_argument("--only", default="", help="Beginnings of names of cases, with commas.")
    parser.add_argument("--keep", type=Path, help="New folder for inputs and results.")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 8),
                        help="Commands side by side.  [default: the cores, at most 8]")  # fmt: skip
    options = parser.parse_args(arguments)
    options.old, options.new = options.old.resolve(), options.new.resolve()
    options.only = tuple(name for name in options.only.split(",") if name)
    if options.jobs < 1:
        parser.error("--jobs must be at least 1")
    return options


def scratch(folder: Path, checkouts: Sequence[Path]) -> Path:
    """The folder, made; SystemExit when it lies in a checkout or holds something."""
    folder = folder.resolve()
    for checkout in checkouts:
        if folder.is_relative_to(checkout):
            sys.exit(f"{folder}: lies in {checkout}; give a folder elsewhere with --keep")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        sys.exit(f"{folder}: exists; give a new folder with --keep")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def compare(options: argparse.Namespace, folder: Path) -> int:
    """Run all cases and print their verdicts; how many differ."""
    sides = {"old": options.old, "new": options.new}
    old_versions, new_versions = (installed(checkout, folder) for checkout in sides.values())
    for name, version in old_versions.items():
        if new_versions[name] != version:
            print(f"OLD has {name} {version}, NEW {new_versions[name]}: results may differ by that")
    names = [listed(options.old, name, folder) for name in ("recipes", "synth")]
    known = cases(folder / "inputs", *names)
    for start in options.only:
        if not any(case.name.startswith(start) for case in known):
            every = ", ".join(case.name for case in known)
            sys.exit(f"--only {start}: no case begins like that; there are {every}")
    chosen = [case for case in known if case.name.startswith(options.only or "")]
    write_inputs(options.old / "data_samples", folder / "inputs")
    begun, differing = time.perf_counter(), 0
    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            running = [
                [pool.submit(run_case, checkout, case, folder / side / case.name)
                 for side, checkout in sides.items()]
                for case in chosen
            ]  # fmt: skip
            for case, pair in zip(chosen, running, strict=True):
                failures = [one.result() for one in pair]
                same, line = judge(failures, *(folder / side / case.name for side in sides))
                differing += not same
                print(f"{case.name:30} {line}", flush=True)
        finally:
            pool.shutdown(cancel_futures=True)
    minutes = (time.perf_counter() - begun) / 60
    print(f"{len(chosen)} cases, {differing} differ; {minutes:.1f} minutes")
    return differing


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    with ExitStack() as stack:
        place = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = scratch(place, (options.old, options.new))
        sys.exit(1 if compare(options, folder) else 0)


if __name__ == "__main__":
    main()
