"""A report as HTML: sections of figures, text and tables, every text escaped, every picture in the page itself.

The page needs no network and no script, and forbids itself both (Content-Security-Policy).
"""

import base64
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.errors import InputError, explain_defect

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FigureFile:
    """A figure that was drawn.

    Attributes:
        path: of the PNG.
        caption: one sentence below it that says what it shows.
        alt: what one sees in it, for those who cannot; empty where the caption says that.
    """

    path: Path
    caption: str
    alt: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a report: first its figures, then its text, then its table.

    Attributes:
        title: a few words, unique in the report.
        paragraphs: plain text; what stands between two backticks is shown as code.
        figures: drawn already.
        table: rows of cells, the first of them the header; or a DataFrame of text. Empty for none.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    figures: tuple[FigureFile, ...] = ()
    table: "tuple[tuple[str, ...], ...] | pd.DataFrame" = ()


def describe_safely(
    title: str, path: Path, describe: "Callable[..., Section | list[Section]]", *arguments: object
) -> list[Section]:
    """What `describe` returns for the arguments; after an unforeseen error a section of that title, which says so.

    Errors that a user can mend, and those of the disk, are raised. `path` is the run that is described.
    """
    try:
        found = describe(*arguments)
    except (InputError, OSError):
        raise
    except Exception as error:  # no figure may cost the others
        return [leave_section_out(title, path, error)]
    return found if isinstance(found, list) else [found]


def leave_section_out(title: str, path: Path, error: Exception) -> Section:
    """The section that stands in the place of one which an unforeseen error has cost."""
    return Section(title, (f"Left out: {explain_defect(error, path)}",))


STYLE = Path(__file__).with_name("report.css")
GENERATOR = '<meta name="generator" content="digit_recognizer report">'  # by which a report is known again
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
PNG_SIZE = 16  # where a PNG has its width and height in px: after its signature, and its first chunk's length and kind
SCALE, MIN_SCALE = 0.575, 0.32  # of a figure, and on a phone, where it scrolls if it would have to be smaller
SHORT_CELL = 24  # characters
CODE = re.compile("`([^`]+)`")  # as study files and docs mark it
PERCENT = re.compile(r"(?<=\d) %")  # which must not begin a line
NUMBER = re.compile(r"[-+–]?[\d,.]*\s?%?")


def escape_html(text: object) -> str:
    """Text as HTML: escaped, and what cannot be seen spelled out, since names come from files."""
    seen = "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in str(text))
    return escape(PERCENT.sub("\N{NO-BREAK SPACE}%", seen))


def build_page(title: str, header: str, sections: Sequence[Section], footer: Sequence[tuple[str, str]]) -> str:
    """Build a whole page.

    Args:
        title: plain text.
        header: HTML below the heading.
        sections: in the order of reading; each becomes an entry of the table of contents.
        footer: further parts, a plain title and HTML each, at the end of the page and of the table of contents.
    """
    parts = [(section.title, _build_section(number, section)) for number, section in enumerate(sections, 1)]
    contents = body = ""
    for number, (name, content) in enumerate([*parts, *footer], 1):
        name = escape_html(name)
        contents += f'<li><a href="#part-{number}">{name}</a></li>'
        body += (
            f'<section id="part-{number}" aria-labelledby="title-{number}">'
            f'<h2 id="title-{number}">{name}</h2>{content}</section>\n'
        )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n{GENERATOR}\n'
        f"<title>{escape_html(title)}</title>\n<style>{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n"
        f'<body>\n<div class="page">\n<header>\n<h1>{escape_html(title)}</h1>\n{header}\n</header>\n'
        f'<nav aria-labelledby="contents"><h2 id="contents">Contents</h2><ol>{contents}</ol></nav>\n'
        f"<main>\n{body}</main>\n</div>\n</body>\n</html>\n"
    )


def build_table(table: "Sequence[Sequence[str]] | pd.DataFrame", label: str) -> str:
    """A table in a box of its own, which scrolls where the screen is narrow.

    Args:
        table: rows of plain text, the first of them the header, all of one length; or a DataFrame of text, whose
            columns without any text are left out.
        label: what the table is, for those who hear the page.
    """
    if isinstance(table, Sequence):
        rows = table
    else:
        shown = table.loc[:, (table != "").any(axis=0)]
        rows = [tuple(shown), *shown.itertuples(index=False, name=None)]
    kinds = [_find_kind(cells[1:]) for cells in zip(*rows, strict=True)]
    head, *body = [[f"{kind}>{escape_html(cell)}" for kind, cell in zip(kinds, row, strict=True)] for row in rows]
    titles = "".join(f'<th scope="col"{cell}</th>' for cell in head)
    lines = "".join("<tr>" + "".join(f"<td{cell}</td>" for cell in row) + "</tr>" for row in body)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape_html(label)}">'
        f"<table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def build_facts(facts: Sequence[tuple[str, str]]) -> str:
    """A few names and values that one should see first; plain text."""
    cells = "".join(f"<div><dt>{escape_html(n)}</dt><dd>{escape_html(v)}</dd></div>" for n, v in facts)
    return f"<dl class='facts'>{cells}</dl>"


def _build_section(number: int, section: Section) -> str:
    figures = [_build_figure(f"{number}-{place}", figure) for place, figure in enumerate(section.figures, 1)]
    parts = [f'<div class="figures">{"".join(figures)}</div>'] if figures else []
    paragraphs = (CODE.sub(r"<code>\1</code>", escape_html(paragraph)) for paragraph in section.paragraphs)
    parts += [f"<p>{paragraph}</p>" for paragraph in paragraphs]
    if len(section.table):
        parts.append(build_table(section.table, f"Table: {section.title}"))
    return "\n".join(parts)


def _build_figure(name: str, figure: FigureFile) -> str:
    """A figure that opens large where its link is followed; its place stays behind, to come back to."""
    content = figure.path.read_bytes()
    width, height = struct.unpack_from(">II", content, PNG_SIZE)
    source = base64.b64encode(content).decode("ascii")
    caption, alt = escape_html(figure.caption), escape_html(figure.alt or figure.caption)
    return (
        f'<div id="place-{name}" style="max-width: {SCALE * width:.0f}px"><figure id="figure-{name}">'
        f'<a class="card" href="#figure-{name}" title="Show it large">'
        f'<img src="data:image/png;base64,{source}" alt="{alt}" width="{width}" height="{height}"'
        f' style="--least: {MIN_SCALE * width:.0f}px"></a>'
        f'<figcaption>{caption}</figcaption><a class="close" href="#place-{name}">Close</a></figure></div>'
    )


def _find_kind(cells: Sequence[str]) -> str:
    """How a column is set: short cells stay on one line, numbers flush right, long cells wrap."""
    if any(len(cell) > SHORT_CELL for cell in cells):
        return ' class="long"'
    return ' class="short number"' if cells and all(map(NUMBER.fullmatch, cells)) else ' class="short"'
