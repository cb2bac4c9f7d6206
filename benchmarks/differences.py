"""What differs between two folders of results: pictures, clips, tables, JSON, tensors and text."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

LEFT_OUT = {"seconds", "mpixel/s", "version"}  # keys and headings
STDOUT, STDERR = "stdout.txt", "stderr.txt"
Pixels = NDArray[Any]


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
