"""The long description, whose links must lead somewhere from a package index too; all else is in setup.cfg."""

import re
from pathlib import Path

from setuptools import setup

README = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
# The text of links into the source tree stays, and names the file: the source archive holds it. Pictures go.
WITHOUT_PICTURES = re.sub(r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n*", "", README)
WITHOUT_RELATIVE_LINKS = re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", WITHOUT_PICTURES)

setup(long_description=WITHOUT_RELATIVE_LINKS, long_description_content_type="text/markdown")
