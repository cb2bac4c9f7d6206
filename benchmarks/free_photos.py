"""Build a folder of freely licensed photographs from Debian packages.

    python benchmarks/free_photos.py OUTPUT_FOLDER [--debs FOLDER] [--long-side 1200]

Every photograph is listed in free_photos.tsv beside this script, one row each: the name of
the PNG to write, the Debian suite and package it comes from, its path inside that package, its
author and its licence (public domain, CC0, CC BY or CC BY-SA).  A path of the form BUNDLE.rcc#NAME
means the file NAME inside a Qt resource bundle; the GCompris bundles carry a README beside
the pictures that names author, source and licence of each one.

The packages are downloaded with `apt-get download` from the archive that the machine uses, those
of other suites with lists of their own beside the machine's, unpacked with `dpkg-deb -x` without
being installed, and each photograph is written as an 8-bit RGB PNG whose long side is at most
LONG_SIDE pixels (never enlarged).  LICENCES.tsv in the output folder records where each file
came from; keep it with the pictures.

Needs a Debian machine and Pillow with WebP.  A suite that is not yet a release may come to hold
other versions: a picture gone from it is named.
"""

from __future__ import annotations

import argparse
import csv
import io
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

from PIL import Image, ImageOps

COLUMNS = ["file", "suite", "package", "version", "path", "author", "licence"]
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


def read_bundle(path: Path) -> dict[str, bytes]:
    """Return the files inside a binary Qt resource bundle, by their full name."""
    blob = path.read_bytes()
    if blob[:4] != b"qres":
        raise ValueError(f"{path.name} is not a Qt resource bundle")
    version, tree, data, names = struct.unpack(">4I", blob[4:20])
    node_size = 14 if version < 2 else 22
    files: dict[str, bytes] = {}

    def walk(index: int, prefix: str) -> None:
        at = tree + index * node_size
        name_at, flags = struct.unpack(">IH", blob[at : at + 6])
        full = prefix
        if index:
            start = names + name_at
            (length,) = struct.unpack(">H", blob[start : start + 2])
            full += "/" + blob[start + 6 : start + 6 + 2 * length].decode("utf-16-be")
        if flags & 2:  # a folder
            count, first = struct.unpack(">II", blob[at + 6 : at + 14])
            for child in range(first, first + count):
                walk(child, full)
            return
        start = data + struct.unpack(">I", blob[at + 10 : at + 14])[0]
        (length,) = struct.unpack(">I", blob[start : start + 4])
        content = blob[start + 4 : start + 4 + length]
        files[full] = zlib.decompress(content[4:]) if flags & 1 else content

    walk(0, "")
    return files


def lists_of(suite: str, folder: Path) -> list[str]:
    """Options of apt-get with which it knows the packages of `suite`; its lists are in `folder`."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    targets = ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)"]
    known = subprocess.check_output(targets, text=True).splitlines()
    address = next(line.split()[1] for line in known if line.startswith("Debian "))
    sources = folder / "sources.list"
    sources.write_text(f"deb [signed-by={KEYS}] {address} {suite} main\n", encoding="utf-8")
    own = {
        "Dir::State": folder / "state", "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "-",
        "Acquire::Languages": "none",
    }  # fmt: skip
    options = [part for name, value in own.items() for part in ("-o", f"{name}={value}")]
    subprocess.run(["apt-get", *options, "--quiet", "update"], check=True)
    return options


class Packages:
    """The files of Debian packages, each package downloaded and unpacked once.

    Packages are looked for, and kept, in `debs`, and unpacked in `scratch`.
    """

    def __init__(self, debs: Path, scratch: Path) -> None:
        self.debs, self.scratch = debs.resolve(), scratch
        self.versions: dict[tuple[str, str], str] = {}
        self._options: dict[str, list[str]] = {}  # of apt-get, for each suite
        self._bundles: dict[Path, dict[str, bytes]] = {}

    def deb(self, suite: str, package: str) -> Path:
        """The package's .deb file, downloaded when it is not there."""
        kept = self.debs / suite
        kept.mkdir(parents=True, exist_ok=True)
        if not any(kept.glob(f"{package}_*.deb")):
            if suite not in self._options:
                self._options[suite] = lists_of(suite, self.scratch / "apt" / suite)
            get = ["apt-get", *self._options[suite], "download", package]
            subprocess.run(get, cwd=kept, check=True)
        return max(kept.glob(f"{package}_*.deb"))

    def read(self, package: str, path: str, suite: str = "bookworm") -> bytes:
        """The file at `path`, of the form BUNDLE.rcc#NAME inside a bundle."""
        inside, _, member = path.partition("#")
        root = self.scratch / suite / package
        if (suite, package) not in self.versions:
            deb = self.deb(suite, package)
            root.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["dpkg-deb", "-x", str(deb), str(root)], check=True)
            query = ["dpkg-deb", "-f", str(deb), "Version"]
            version = subprocess.check_output(query, text=True).strip()
            self.versions[suite, package] = version
        content = root / inside
        if not content.is_file():
            version = self.versions[suite, package]
            raise FileNotFoundError(f"{package} {version} ({suite}) has no {inside}")
        if not member:
            return content.read_bytes()
        if content not in self._bundles:
            self._bundles[content] = read_bundle(content)
        return self._bundles[content][member]

    def photograph(
        self, package: str, path: str, long_side: int, suite: str = "bookworm"
    ) -> Image.Image:
        """The photograph at `path`, upright, as RGB; see `shrink`."""
        return shrink(Image.open(io.BytesIO(self.read(package, path, suite))), long_side)


def shrink(image: Image.Image, long_side: int) -> Image.Image:
    """Return `image` upright, as RGB, at most `long_side` pixels long; 0 is as it is."""
    image = ImageOps.exif_transpose(image).convert("RGB")
    image.info.clear()
    if 0 < long_side < max(image.size):
        image.thumbnail((long_side, long_side), Image.Resampling.LANCZOS, reducing_gap=None)
    return image


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path, help="folder for the PNG files")
    parser.add_argument("--debs", type=Path, help="keep (and reuse) the packages in this folder")
    parser.add_argument("--long-side", type=int, default=1200, help="longest side in pixels")
    args = parser.parse_args(argv)
    table = Path(__file__).with_suffix(".tsv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    args.output.mkdir(parents=True, exist_ok=True)
    report = ["\t".join(COLUMNS)]
    with tempfile.TemporaryDirectory() as scratch:
        packages = Packages(args.debs or Path(scratch), Path(scratch))
        for row in rows:
            suite, package = row["suite"], row["package"]
            picture = packages.photograph(package, row["path"], args.long_side, suite)
            picture.save(args.output / row["file"])
            row["version"] = packages.versions[suite, package]
            report.append("\t".join(row[column] for column in COLUMNS))
    (args.output / "LICENCES.tsv").write_text("\n".join(report) + "\n", encoding="utf-8")
    print(f"{len(rows)} photographs in {args.output}")


if __name__ == "__main__":
    main()
