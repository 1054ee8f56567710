"""What an examination is made of: sections, each a few sentences, figures and perhaps a table."""

from dataclasses import dataclass
from pathlib import Path


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
