"""A report's HTML: what is shown of sections, figures and tables, every text escaped, every picture in the page itself.

The page needs no network and no script, and forbids itself both (Content-Security-Policy).
"""

import base64
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from digit_recognizer.errors import InputError
from digit_recognizer.io import open_regular_file

# What an examination is made of: sections, each a few sentences, figures and perhaps a table.


@dataclass(frozen=True)
class FigureFile:
    """A figure that was drawn.

    Attributes:
        path: of the PNG.
        caption: one or two sentences that say what it shows, to those who cannot see it as well.
    """

    path: Path
    caption: str


@dataclass(frozen=True)
class Section:
    """A part of an examination, in the order in which a reader should meet it.

    Attributes:
        title: a few words, unique in the examination.
        paragraphs: plain text, no markup.
        figures: drawn already.
        table: rows of cells, the first of them the header; empty for none.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    figures: tuple[FigureFile, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()


# How a report looks: one style sheet, for light and dark, for phone, desk and paper.
#
# Every text colour stands at 4.5 : 1 or more against its ground (WCAG 2.2, AA). Figures are drawn on white, so they lie
# on white cards in the dark as well. A figure whose link was followed fills the window, by `:target`, without a script.

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #fbfaf7; --text: #1c1b19; --quiet: #57534c; --line: #d9d5cc; --link: #0b5394; --panel: #f1eee7;
  --alarm: #8f1d14;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #16181b; --text: #e9e6df; --quiet: #b4b0a7; --line: #3b3e44; --link: #8fc1f5; --panel: #202328;
    --alarm: #ffb3a8;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body {
  margin: 0; background: var(--ground); color: var(--text); overflow-wrap: anywhere;
  font: 1.0625rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif;
}
.page { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1.125rem 4rem; }
p, ul, ol, dl { max-width: 44rem; margin: 0 0 1rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; text-wrap: balance; }
h2 {
  font-size: 1.4rem; line-height: 1.25; margin: 3rem 0 .75rem; padding-top: 1rem; border-top: 1px solid var(--line);
}
a { color: var(--link); text-underline-offset: .15em; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.quiet { color: var(--quiet); }
.alarm { color: var(--alarm); font-weight: 600; }
nav { background: var(--panel); border-radius: .5rem; padding: 1rem 1.25rem; margin: 1.5rem 0 0; }
nav h2 { font-size: 1rem; margin: 0 0 .5rem; padding: 0; border: 0; }
nav ol { margin: 0; padding-left: 1.5rem; max-width: none; }
nav li { padding: .2rem 0; break-inside: avoid; }
@media (min-width: 48rem) { nav ol { columns: 2; column-gap: 2.5rem; } }
.facts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .75rem; margin: 1.25rem 0;
  max-width: none;
}
.facts div { background: var(--panel); border-radius: .5rem; padding: .75rem 1rem; }
.facts dt { color: var(--quiet); font-size: .875rem; line-height: 1.35; }
.facts dd { margin: .25rem 0 0; font-size: 1.15rem; line-height: 1.25; font-weight: 600; }
.scroll {
  overflow-x: auto; width: fit-content; max-width: 100%; margin: 0 0 1.25rem; border: 1px solid var(--line);
  border-radius: .5rem;
}
@media (min-width: 64rem) { .scroll { max-width: calc(50vw + 28.5rem); } }  /* into the right margin */
table { border-collapse: collapse; font-size: .9375rem; line-height: 1.4; }
th, td { padding: .4rem .65rem; text-align: left; vertical-align: top; overflow-wrap: normal; }
td { font-variant-numeric: tabular-nums; }
thead th { background: var(--panel); font-weight: 600; vertical-align: bottom; }
tbody tr + tr :is(td, th) { border-top: 1px solid var(--line); }
tbody th { font-weight: 400; }
td.short { white-space: nowrap; }
.number { text-align: right; }
.long { min-width: 11rem; max-width: 22rem; overflow-wrap: anywhere; }
code { font: .875em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
pre { margin: 0; padding: .75rem 1rem; font: .8125rem/1.3 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
details { margin: 0 0 1rem; }
summary { cursor: pointer; padding: .35rem 0; font-weight: 600; }
figure { margin: 0 0 1.75rem; }
figure .card {
  display: block; background: #fff; border: 1px solid var(--line); border-radius: .5rem; padding: .5rem;
  width: fit-content; max-width: 100%; cursor: zoom-in;
}
figure img { display: block; max-width: 100%; height: auto; }
figcaption { max-width: 44rem; margin-top: .5rem; color: var(--quiet); font-size: .9375rem; line-height: 1.5; }
.close { display: none; }
figure:target {
  position: fixed; inset: 0; z-index: 1; margin: 0; padding: 3.75rem 1rem 1rem; overflow: auto;
  background: var(--ground);
}
figure:target .card { max-width: none; cursor: auto; }
figure:target img { max-width: none; }
figure:target .close {
  display: block; position: fixed; top: .75rem; right: .75rem; padding: .6rem 1.1rem; border-radius: .5rem;
  background: var(--text); color: var(--ground); text-decoration: none; font-weight: 600; line-height: 1.3;
}
@media print {
  nav, .close { display: none; }
  figure, tr { break-inside: avoid; }
}
"""


GENERATOR = '<meta name="generator" content="digit_recognizer report">'  # by which a report is known again
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
PNG_HEADER = struct.Struct(">8sI4sII")  # signature, length and kind of the first chunk, width, height
PNG_START = b"\x89PNG\r\n\x1a\n"
MOST_FIGURE_BYTES = 1 << 23  # ours have a tenth of a megabyte
SHORT_CELL = 24  # characters
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

    Raises:
        InputError: if a figure is missing or no PNG.
    """
    parts = [(section.title, _build_section(number, section)) for number, section in enumerate(sections, 1)]
    parts += footer
    contents = "".join(
        f'<li><a href="#part-{number}">{escape_html(name)}</a></li>' for number, (name, _) in enumerate(parts, 1)
    )
    body = "".join(
        f'<section id="part-{number}" aria-labelledby="title-{number}">'
        f'<h2 id="title-{number}">{escape_html(name)}</h2>{content}</section>\n'
        for number, (name, content) in enumerate(parts, 1)
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n{GENERATOR}\n'
        f"<title>{escape_html(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f'<body>\n<div class="page">\n<header>\n<h1>{escape_html(title)}</h1>\n{header}\n</header>\n'
        f'<nav aria-labelledby="contents"><h2 id="contents">Contents</h2><ol>{contents}</ol></nav>\n'
        f"<main>\n{body}</main>\n</div>\n</body>\n</html>\n"
    )


def build_table(rows: Sequence[Sequence[str]], label: str) -> str:
    """A table in a box of its own, which scrolls where the screen is narrow.

    Args:
        rows: cells as plain text, the first row the header; all of one length.
        label: what the table is, for those who hear the page.
    """
    head, *body = rows
    kinds = [_find_kind([row[place] for row in body]) for place in range(len(head))]
    titles = "".join(f'<th scope="col"{kind}>{escape_html(cell)}</th>' for kind, cell in zip(kinds, head, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape_html(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in body
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape_html(label)}">'
        f"<table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def build_facts(facts: Sequence[tuple[str, str]]) -> str:
    """A few names and values that one should see first; plain text."""
    return "".join(
        [
            "<dl class='facts'>",
            *(f"<div><dt>{escape_html(n)}</dt><dd>{escape_html(v)}</dd></div>" for n, v in facts),
            "</dl>",
        ]
    )


def _build_section(number: int, section: Section) -> str:
    parts = [f"<p>{escape_html(paragraph)}</p>" for paragraph in section.paragraphs]
    parts += [_build_figure(f"{number}-{place}", figure) for place, figure in enumerate(section.figures, 1)]
    if section.table:
        parts.append(build_table(section.table, f"Table: {section.title}"))
    return "\n".join(parts)


def _build_figure(name: str, figure: FigureFile) -> str:
    """A figure that opens large where its link is followed; its place stays behind, to come back to."""
    content, width, height = _read_png(figure.path)
    source = base64.b64encode(content).decode("ascii")
    caption = escape_html(figure.caption)
    return (
        f'<div id="place-{name}"><figure id="figure-{name}">'
        f'<a class="card" href="#figure-{name}" title="Show it large">'
        f'<img src="data:image/png;base64,{source}" alt="{caption}" width="{width}" height="{height}"></a>'
        f'<figcaption>{caption}</figcaption><a class="close" href="#place-{name}">Close</a></figure></div>'
    )


def _read_png(path: Path) -> tuple[bytes, int, int]:
    """A PNG's bytes, its width and its height in px."""
    with open_regular_file(path) as file:
        content = file.read(MOST_FIGURE_BYTES + 1)
    if len(content) < PNG_HEADER.size or not content.startswith(PNG_START) or len(content) > MOST_FIGURE_BYTES:
        raise InputError(
            f"{path} must be a PNG of {MOST_FIGURE_BYTES} bytes at most, but is none: examine the run anew."
        )
    _, _, _, width, height = PNG_HEADER.unpack_from(content)
    return content, width, height


def _find_kind(cells: Sequence[str]) -> str:
    """How a column is set: short cells stay on one line, numbers flush right, long cells wrap."""
    if any(len(cell) > SHORT_CELL for cell in cells):
        return ' class="long"'
    return ' class="short number"' if cells and all(map(NUMBER.fullmatch, cells)) else ' class="short"'
