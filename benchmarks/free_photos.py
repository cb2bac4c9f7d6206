"""Build a folder of freely licensed photographs from Debian packages.

    python benchmarks/free_photos.py OUTPUT_FOLDER [--debs FOLDER] [--long-side 1200]

Every photograph is listed in free_photos.tsv beside this script, one row each: the name of
the PNG to write, the Debian package it comes from, its path inside that package, its author
and its licence (public domain, CC0, CC BY or CC BY-SA).  A path of the form BUNDLE.rcc#NAME
means the file NAME inside a Qt resource bundle; the GCompris bundles carry a README beside
the pictures that names author, source and licence of each one.

The packages are downloaded with `apt-get download` (run `apt-get update` first), unpacked
with `dpkg-deb -x` without being installed, and each photograph is written as an 8-bit RGB
PNG whose long side is at most LONG_SIDE pixels (never enlarged).  LICENCES.tsv in the output
folder records where each file came from; keep it with the pictures.

Needs a Debian 12 machine (other releases may hold other pictures) and Pillow with WebP.
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

COLUMNS = ["file", "package", "version", "path", "author", "licence"]


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


def fetch(package: str, debs: Path) -> Path:
    """Return the package's .deb file in `debs`, downloading it when it is not there."""
    found = sorted(debs.glob(f"{package}_*.deb"))
    if not found:
        subprocess.run(["apt-get", "download", package], cwd=debs, check=True)
        found = sorted(debs.glob(f"{package}_*.deb"))
    return found[-1]


class Packages:
    """The files of Debian packages, each package downloaded and unpacked once.

    Packages are looked for, and kept, in `debs`, and unpacked in `scratch`.
    """

    def __init__(self, debs: Path, scratch: Path) -> None:
        self.debs, self.scratch = debs.resolve(), scratch
        self.debs.mkdir(parents=True, exist_ok=True)
        self.versions: dict[str, str] = {}
        self._bundles: dict[Path, dict[str, bytes]] = {}

    def read(self, package: str, path: str) -> bytes:
        """The file at `path`, of the form BUNDLE.rcc#NAME inside a bundle."""
        inside, _, member = path.partition("#")
        root = self.scratch / package
        if package not in self.versions:
            deb = fetch(package, self.debs)
            subprocess.run(["dpkg-deb", "-x", str(deb), str(root)], check=True)
            query = ["dpkg-deb", "-f", str(deb), "Version"]
            self.versions[package] = subprocess.check_output(query, text=True).strip()
        content = root / inside
        if not member:
            return content.read_bytes()
        if content not in self._bundles:
            self._bundles[content] = read_bundle(content)
        return self._bundles[content][member]

    def photograph(self, package: str, path: str, long_side: int) -> Image.Image:
        """The photograph at `path`, upright, as RGB; see `shrink`."""
        return shrink(Image.open(io.BytesIO(self.read(package, path))), long_side)


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
            picture = packages.photograph(row["package"], row["path"], args.long_side)
            picture.save(args.output / row["file"])
            row["version"] = packages.versions[row["package"]]
            report.append("\t".join(row[column] for column in COLUMNS))
    (args.output / "LICENCES.tsv").write_text("\n".join(report) + "\n", encoding="utf-8")
    print(f"{len(rows)} photographs in {args.output}")


if __name__ == "__main__":
    main()
