"""Hook of MkDocs: pictures of the repository that the pages show, so that no copy is needed."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PICTURES = ("benchmarks/gallery.jpg",)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    for path in PICTURES:
        files.append(File.generated(config, Path(path).name, abs_src_path=str(ROOT / path)))
    return files
