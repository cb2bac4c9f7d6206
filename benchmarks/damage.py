"""Damage to files: bytes that are changed, cut out, repeated and cut off, values of another kind.

`faults.py` counts what readers make of it.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

CLIPS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".wmv")
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**9,
    1e300,
    "x",
    "../../x",
    "/x",
    [],
    {},
    [[[]]],
    "9" * 50,
    [{"a": 1}],
)


def mutation(data: bytes, draws: random.Random) -> bytes:
    """The bytes with one to four changes; most of them near the start, where sizes are told."""
    changed = bytearray(data)
    for _ in range(draws.randint(1, 4)):
        near = draws.choice((64, 512, len(changed)))
        at = draws.randrange(max(1, min(near, len(changed))))
        length = draws.randint(1, 16)
        match draws.randrange(7):
            case 0:
                changed[at : at + 1] = bytes([draws.randrange(256)])
            case 1:
                changed[at : at + 4] = draws.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = changed[at : at + length]
            case 4:
                changed[at : at + 1] = draws.choice(
                    (b"9999999", b"-1", b"null", b"[", b'"', b"NaN")
                )
            case 5:
                changed[at : at + 1] = bytes(
                    [changed[at] ^ 1 << draws.randrange(8)] if changed else [0]
                )
            case 6:
                del changed[max(at, len(changed) // 2) :]
    return bytes(changed)


def large_mutation(data: bytes, draws: random.Random) -> bytes:
    """The bytes with one damage of a disk or a network: zeros, other bits, a part of itself in the
    place of another, two parts exchanged, or an end that is missing."""
    changed, whole = bytearray(data), len(data)
    start, other = sorted(draws.randrange(whole) for _ in range(2))
    length = draws.randint(1, max(1, whole // 8))
    match draws.randrange(5):
        case 0:
            changed[start : start + length] = bytes(min(length, whole - start))
        case 1:
            for _ in range(draws.randint(1, 64)):
                changed[draws.randrange(whole)] ^= 1 << draws.randrange(8)
        case 2:
            changed[start:other] = changed[other : 2 * other - start]
        case 3:
            changed = changed[other:] + changed[start:other] + changed[:start]
        case 4:
            del changed[start:]
    return bytes(changed)


def other_values(node: Any, draws: random.Random) -> Any:
    """JSON with a value somewhere in it that does not belong there, or lacks one."""
    if not isinstance(node, (dict, list)) or not node or draws.random() < 0.1:
        return draws.choice(VALUES)
    changed = dict(node) if isinstance(node, dict) else list(node)
    key = draws.choice(list(node) if isinstance(node, dict) else range(len(node)))
    if draws.random() < 0.1:
        del changed[key]
    else:
        changed[key] = other_values(node[key], draws)
    return changed


def other_text(text: str, draws: random.Random) -> str:
    """The same of a file of JSON, or of one of its lines."""
    lines = [text] if text.lstrip()[1:2] == "\n" else text.splitlines()
    at = draws.randrange(len(lines))
    lines[at] = json.dumps(other_values(json.loads(lines[at]), draws))
    return "\n".join(lines) + "\n"


def other_header(data: bytes, draws: random.Random) -> bytes:
    """The same of the header of a file of weights."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    if draws.random() < 0.3:
        header = other_values(header, draws)
    else:
        own = header["__metadata__"]
        own["ssl_restore"] = other_text(own["ssl_restore"], draws).strip()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[end:]


def changed(path: Path, data: bytes, draws: random.Random) -> bytes:
    """A mutation of a file: of its bytes, or where it holds JSON as often of its values."""
    if draws.random() < 0.5 and path.suffix in (".json", ".jsonl"):
        return other_text(data.decode(), draws).encode()
    if draws.random() < 0.5 and path.suffix == ".safetensors":
        return other_header(data, draws)
    if draws.random() < 0.5 and path.suffix in CLIPS:
        return large_mutation(data, draws)
    return mutation(data, draws)
