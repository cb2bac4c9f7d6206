"""What is installed: packages, data files, licences, and a command line without torch."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALIASES = {"cli": "ssl_restore_cli", "data_samples": "ssl_restore_samples"}
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")
NOT_SOURCE = {".git", ".venv", "venv", "build", "dist", ".mypy_cache", ".ruff_cache"}
PHOTOS = ROOT / "data_samples" / "photos"


def lines(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


def sources():
    for path in sorted(ROOT.rglob("*.py")):
        if not NOT_SOURCE & set(path.relative_to(ROOT).parts):
            yield path


def packages():
    """Dotted name -> folder, for every folder with an __init__.py."""
    found = {}
    for path in sources():
        if path.name == "__init__.py" and "tests" not in path.parts:
            first, *rest = path.parent.relative_to(ROOT).parts
            found[".".join((ALIASES.get(first, first), *rest))] = path.parent
    return found


def test_list_of_packages_equals_the_folders():
    assert sorted(lines(SETUP["options"]["packages"])) == sorted(packages())


def test_aliases_are_those_of_setup_cfg():
    pairs = dict(re.split(r"\s*=\s*", line) for line in lines(SETUP["options"]["package_dir"]))
    assert pairs == {package: folder for folder, package in ALIASES.items()}


def package_data():
    for package, patterns in SETUP["options.package_data"].items():
        for pattern in re.split(r",\s*", patterns):
            yield pytest.param(package, pattern, id=f"{package}/{pattern}")


@pytest.mark.parametrize(("package", "pattern"), list(package_data()))
def test_every_pattern_of_package_data_matches_a_file(package, pattern):
    assert list(packages()[package].glob(pattern))


@pytest.mark.parametrize("package", sorted(packages()))
def test_every_data_file_in_a_package_is_installed(package):
    folder = packages()[package]
    patterns = re.split(r",\s*", SETUP["options.package_data"].get(package, ""))
    installed = {path for pattern in patterns if pattern for path in folder.glob(pattern)}
    inner = [path.parent for path in folder.rglob("__init__.py") if path.parent != folder]
    found = {
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix not in {".py", ".pyc"}
        and not path.name.startswith(".")
        and not any(other in path.parents for other in inner)
    }
    assert found <= installed, f"not installed: {sorted(map(str, found - installed))}"


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


def test_nobody_imports_cli_by_the_name_of_its_folder():
    """`import cli` works by accident in the repository and makes a second copy of each command."""
    wrong = {"cli", "data_samples"}
    for path in sources():
        assert not wrong & {name.split(".")[0] for name in imported(path)}, path


def table_rows():
    text = (ROOT / "data_samples" / "README.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("| \n").split(" | ")]
            for line in text.splitlines() if re.match(r"\|\s*\S+\.jpg\s*\|", line)]  # fmt: skip
    return {row[0]: row for row in rows}, len(rows)


def test_every_photograph_has_one_row_and_every_row_a_photograph():
    rows, count = table_rows()
    assert count == len(rows)
    assert sorted(rows) == sorted(path.name for path in PHOTOS.iterdir())
    assert 24 <= count <= 60


@pytest.mark.parametrize("name", sorted(table_rows()[0]))
def test_row_names_author_free_licence_source_and_changes(name):
    _, subject, author, licence, source, changes = table_rows()[0][name]
    assert all((subject, author, source, changes))
    free = r"(\[?CC0 1\.0|public domain|\[?CC BY(-SA)? [1-4]\.\d)"
    assert re.match(free, licence), licence
    assert not re.search(r"NC|ND", licence)


def test_samples_are_at_most_three_megabytes():
    folder = ROOT / "data_samples"
    total = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc")
    assert total <= 3_000_000


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    ).stdout


@pytest.mark.parametrize("argument", ["--help", "-h", "--version"])
def test_command_line_answers_without_torch(argument):
    said = run(
        "import sys\nfrom ssl_restore_cli.main import main\n"
        f"try: main(['{argument}'])\n"
        "except SystemExit: pass\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    loaded = said.splitlines()[-1].split()
    assert "click" in loaded
    assert not {"torch", "numpy", "cv2", "PIL", "scipy"} & set(loaded)


def commands():
    not_commands = {
        "__init__",
        "main",
        "errors",
        "on_cluster",
        "options",
        "output",
        "progress",
        "restoration",
        "streams",
    }
    stems = {path.stem for path in (ROOT / "cli").glob("*.py")} - not_commands
    return {stem.replace("_", "-") for stem in stems}


def test_every_command_that_the_readme_uses_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))  # not its prose
    used = set(re.findall(r"(?<![\w.-])ssl-restore ([a-z][a-z-]*)\b", code))
    used |= set(re.findall(r"python -m ssl_restore ([a-z][a-z-]*)\b", code))
    assert {"derain", "fit"} <= used
    assert used <= commands()
