"""What MkDocs does beyond mkdocs.yml: files outside docs/ become pages of the site, and links to the others are mended.

The pages in docs/ are also read in the repository, where `../studies/README.md` is a link that works. On the site such
a link leads to the copy that BROUGHT names, to the file in the repository if REPO_URL is set, or becomes plain text.
"""

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
BROUGHT = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
BROUGHT |= {
    path.relative_to(ROOT).as_posix(): path.relative_to(ROOT).as_posix() for path in ROOT.glob("studies/*/page.html")
}
ORIGINS = {to: origin for origin, to in BROUGHT.items()}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s:#]+)(#[^()\s]*)?\)")
IMAGES = (".png", ".svg")


def on_files(files: Files, config: Any) -> Files:
    """Add what BROUGHT names, and the pictures outside docs/ that a page shows."""
    wanted = dict(BROUGHT)
    for page in sorted((ROOT / "docs").glob("*.md")):
        for _, _, target, _ in LINK.findall(page.read_text(encoding="utf-8")):
            origin = posixpath.normpath(posixpath.join("docs", target))
            if target.endswith(IMAGES) and not origin.startswith("docs/"):
                wanted[origin] = origin
    for origin, to in wanted.items():
        files.append(File.generated(config, to, abs_src_path=str(ROOT / origin)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Mend the links that lead out of docs/, or into it from a page that was brought from outside."""
    source = page.file.src_uri
    folder = posixpath.dirname(ORIGINS.get(source, f"docs/{source}"))

    def mend(found: re.Match[str]) -> str:
        mark, text, target, anchor = found.groups()
        origin = posixpath.normpath(posixpath.join(folder, target))
        if not (ROOT / origin).exists():
            return found[0]
        to = origin.removeprefix("docs/") if origin.startswith("docs/") else BROUGHT.get(origin, origin)
        if files.get_file_from_path(to):
            return f"{mark}[{text}]({posixpath.relpath(to, posixpath.dirname(source) or '.')}{anchor or ''})"
        address = os.environ.get("REPO_URL")
        return f"[{text}]({address}/blob/main/{origin}{anchor or ''})" if address else text

    return LINK.sub(mend, markdown)
