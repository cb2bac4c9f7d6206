"""The free photographs: their table, and how they come from a Debian archive."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

TABLE = Path(__file__).parents[1] / "benchmarks" / "free_photos.tsv"
LICENCE = re.compile(r"public domain|CC0( 1\.0)?|CC BY(-SA)? \d\.\d")


def table() -> list[dict[str, str]]:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_every_photograph_has_a_name_of_its_own_an_author_and_a_free_licence() -> None:
    rows = table()
    assert len({row["file"] for row in rows}) == len(rows) > 600
    assert len({(row["suite"], row["package"], row["path"]) for row in rows}) == len(rows)
    for row in rows:
        assert all(row.values()), row
        assert LICENCE.fullmatch(row["licence"]), row


@pytest.fixture
def free_photos(script: Callable[[str], Any]) -> Any:
    return script("free_photos")


@pytest.fixture
def debs(tmp_path: Path) -> Path:
    """Packages at hand: one, with one picture."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    tree, kept = tmp_path / "tree", tmp_path / "debs" / "some"
    (tree / "DEBIAN").mkdir(parents=True)
    control = "Package: few\nVersion: 2\nArchitecture: all\nMaintainer: A <a@b.c>\nDescription: d\n"
    (tree / "DEBIAN" / "control").write_text(control)
    Image.fromarray(np.full((30, 60, 3), 90, np.uint8)).save(tree / "one.png")
    kept.mkdir(parents=True)
    build = ["dpkg-deb", "--build", str(tree), str(kept / "few_2_all.deb")]
    subprocess.run(build, check=True)
    return kept.parent


def test_a_photograph_comes_out_of_its_package(
    debs: Path, tmp_path: Path, free_photos: Any
) -> None:
    packages = free_photos.Packages(debs, tmp_path / "scratch")
    picture = packages.photograph("few", "one.png", long_side=20, suite="some")
    assert picture.size == (20, 10)
    assert packages.versions["some", "few"] == "2"


def test_a_photograph_that_has_gone_is_named(debs: Path, tmp_path: Path, free_photos: Any) -> None:
    packages = free_photos.Packages(debs, tmp_path / "scratch")
    with pytest.raises(FileNotFoundError, match=r"few 2 \(some\) has no two.png"):
        packages.read("few", "two.png", suite="some")
