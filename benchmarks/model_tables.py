"""Writes the tables of models in README.md, docs/training.md and docs/models.md from results.csv.

    python benchmarks/model_tables.py           # rewrites them
    python benchmarks/model_tables.py --check   # only says whether they are up to date; exit code 1 if not

A table stands between `<!-- models: NAME -->` and `<!-- end -->`. After a new measurement edit
digit_recognizer/models/results.csv, then run this.
"""

import re
import sys
from pathlib import Path

import pandas as pd

from digit_recognizer.console import format_seconds
from digit_recognizer.models.__main__ import load_results

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "training.md", ROOT / "docs" / "models.md")
MARKS = re.compile(r"(<!-- models: (\w+) -->\n).*?(<!-- end -->)", flags=re.DOTALL)


def build_table(name: str, folder: str = "docs/") -> str:
    """The table of a name: of the models measured by cv or train, or of all recipes; `folder` leads to the pages."""
    frame = load_results()
    if name == "recipes":
        rows = [("`--model`", "recipe: what differs from the defaults")]
        rows += [(f"`{row.model}`", f"`{row.recipe}`" if row.recipe else "") for row in frame.itertuples()]
        return _format(rows)
    by_cv = name == "cv"
    what = "out-of-fold accuracy, 5 folds (95 % interval)" if by_cv else "held-out accuracy (95 % interval)"
    spread = ["folds, lowest to highest"] if by_cv else []
    rows = [
        ("`--model`", "what it is", "parameters", what, *spread, "time", f"its [seed report]({folder}references.md)")
    ]
    for row in frame[frame["command"] == name].itertuples():
        cells = [f"`{row.model}`", row.description, f"{row.parameters:,}", "not measured", *([""] if by_cv else []), ""]
        if not pd.isna(row.accuracy):
            seed = f", seed {row.seed}" if row.seed else ""
            cells[3] = f"**{row.accuracy:.5f}** ({row.low:.5f} to {row.high:.5f}){seed}"
            cells[-1] = format_seconds(row.seconds)
            if by_cv:
                cells[4] = f"{row.lowest_fold:.5f} to {row.highest_fold:.5f}"
        rows.append((*cells, "" if pd.isna(row.seed_report) else row.seed_report))
    return _format(rows)


def _format(rows: list[tuple[str, ...]]) -> str:
    header, *others = (f"| {' | '.join(row)} |\n" for row in rows)
    return "".join([header, f"{'|---' * len(rows[0])}|\n", *others])


def fill(page: Path) -> str:
    """The text of a page, with its tables as results.csv has them."""
    folder = "docs/" if page.parent == ROOT else ""
    text = page.read_text(encoding="utf-8")
    return MARKS.sub(lambda found: f"{found[1]}{build_table(found[2], folder)}{found[3]}", text)


def main() -> int:
    """Rewrite or check the pages."""
    stale = 0
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        if (after := fill(page)) != before:
            stale += 1
            print(f"{page.relative_to(ROOT)}: " + ("out of date" if "--check" in sys.argv else "written"))
            if "--check" not in sys.argv:
                page.write_text(after, encoding="utf-8")
    return int(stale > 0 and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
