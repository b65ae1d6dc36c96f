"""MkDocs hook: the README is the first page, and links to other files of the repository lead there.

All pages can so be read on the repository's host as well, where their links are relative to the repository.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
SCREENSHOTS = ROOT / "LMIDiffusion" / "Resources" / "Screenshots"
# Pictures on a line of their own; those in a line, such as badges, have links of their own.
_PICTURE = re.compile(r'(?<=<p>)(<img [^>]*src="([^"]+)"[^>]*>)')
_LINK = re.compile(r"(?<=\]\()[^)\s#]+")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README, notebooks as pages, and the module's pictures."""
    files.append(File.generated(config, "index.md", abs_src_path=str(ROOT / "README.md")))
    for path in DOCS.rglob("*.ipynb"):
        place = path.relative_to(DOCS).with_suffix(".md").as_posix()
        files.append(File.generated(config, place, content=_notebook_page(path)))
    for path in SCREENSHOTS.glob("*.png"):
        files.append(File.generated(config, f"screenshots/{path.name}", abs_src_path=str(path)))
    return files


def _notebook_page(path: Path) -> str:
    """Return a notebook as Markdown, with its outputs."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [_shown(output) for output in cell.get("outputs", [])]
    download = f'<a href="{path.name}" download>Download this page as a notebook</a>'
    return "\n\n".join([*parts, download, ""])


def _shown(output: dict[str, Any]) -> str:
    """Return an output of a notebook's cell as Markdown."""
    if "text" in output:
        return "```text\n" + "".join(output["text"]) + "```"
    if "image/png" in output["data"]:
        return f'<img alt="" src="data:image/png;base64,{output["data"]["image/png"]}">'
    return "```text\n" + "".join(output["data"]["text/plain"]) + "\n```"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links that are relative to the repository into those of the site."""
    place = Path(page.file.src_uri)
    folder = ROOT if place.name == "index.md" else (DOCS / place).parent
    return _LINK.sub(lambda link: _on_site(link[0], folder, place.parent, str(config.repo_url)), markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let a click on a picture open it in its full size."""
    return _PICTURE.sub(r'<a href="\2">\1</a>', html)


def _on_site(link: str, folder: Path, place: Path, repository: str) -> str:
    """Return the target of a link on the site; a dead link is left for MkDocs to find."""
    path = (folder / link).resolve()
    if "://" in link or not path.exists():
        return link
    if path.is_relative_to(DOCS):
        page = path.with_suffix(".md") if path.suffix == ".ipynb" else path
        return os.path.relpath(page.relative_to(DOCS), place)
    if path.parent == SCREENSHOTS:
        return os.path.relpath(Path("screenshots", path.name), place)
    if path == ROOT / "README.md":
        return os.path.relpath("index.md", place)
    return f"{repository.rstrip('/')}/blob/main/{path.relative_to(ROOT).as_posix()}"
