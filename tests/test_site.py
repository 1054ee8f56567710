"""The documentation site builds without a warning, loads nothing from other hosts, and its links lead somewhere."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    surroundings = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=surroundings)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.slow  # 6 s: CI's job `docs` builds it too
def test_no_page_loads_anything_from_another_host(site):
    loads = re.compile(r'<(?:script|img|source|iframe)[^>]+src="?(?:https?:)?//|<link[^>]+href="?(?:https?:)?//')
    pages = [page for page in site.rglob("*.html") if "studies" not in page.parts]
    styles = [path for path in site.rglob("*.css") if "assets" not in path.parts]  # the theme's name their maps
    assert len(pages) > 25 and styles
    assert not [page.name for page in pages if loads.search(page.read_text(encoding="utf-8"))]
    assert not [path.name for path in styles if "//" in path.read_text(encoding="utf-8").replace("/*", "")]


@pytest.mark.slow  # as above
def test_what_lies_outside_docs_is_on_the_site(site):
    assert (site / "contributing/index.html").exists() and (site / "studies/001-epochs/page.html").exists()
    text = (site / "seed-reports/index.html").read_text(encoding="utf-8")
    pictures = re.findall(r'src="?\.\./(studies/[^" >]+\.png)', text)
    assert pictures and all((site / path).exists() for path in pictures)


@pytest.mark.slow  # the hook needs MkDocs, which takes a second to import
@pytest.mark.parametrize(
    ("page", "address", "link", "mended"),
    [
        ("python.md", None, "[a](../CONTRIBUTING.md#words)", "[a](contributing.md#words)"),
        ("contributing.md", None, "[a](docs/training.md)", "[a](training.md)"),
        ("python.md", None, "[a](../input/README.md)", "a"),
        ("python.md", "https://host/us", "[a](../input/README.md)", "[a](https://host/us/blob/main/input/README.md)"),
        ("python.md", None, "[a](https://keras.io)", "[a](https://keras.io)"),
        ("python.md", None, "[a](training.md#recipes)", "[a](training.md#recipes)"),
    ],
)
def test_links_out_of_docs_are_mended(page, address, link, mended, monkeypatch):
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "hooks.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    monkeypatch.setenv("REPO_URL", address or "")
    known = {"contributing.md", "training.md"}
    files = SimpleNamespace(get_file_from_path=lambda path: path in known)
    shown = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    assert hooks.on_page_markdown(f"See {link}.", shown, None, files) == f"See {mended}."
