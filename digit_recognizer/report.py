"""`python -m digit_recognizer.report RUN`: one HTML page of a run's examination."""

import sys
from dataclasses import dataclass
from pathlib import Path

from digit_recognizer.cli import command, parse_arguments
from digit_recognizer.console import clean_lines
from digit_recognizer.examine import ExamineArguments, run_examination
from digit_recognizer.io import write_text


@dataclass(frozen=True, kw_only=True)
class ReportArguments(ExamineArguments):
    """Examine a run, as `examine` does, and write all that it finds as one HTML file.

    The page holds its pictures, needs no network and no script, and suits phone and desk, light and dark.
    """

    output: Path | None = None
    """The file to write, in place of an older report (default: RUN/report.html)."""
    examination: Path | None = None
    """Folder for figures and label_errors.csv, which are replaced (default: RUN/examination)."""


@command
def main(arguments: list[str]) -> None:
    """Examine, write the page, and print where it is."""
    chosen = parse_arguments(ReportArguments, "report", arguments)
    from digit_recognizer.reporting.examination import REPORT, check_report_path

    target = chosen.output or chosen.run / REPORT
    check_report_path(target)
    found = run_examination(chosen, chosen.examination)
    print(clean_lines(str(found)))
    write_text(target, found.build_page())
    print(clean_lines(f"  {'report':<24}{target}"))


if __name__ == "__main__":
    sys.exit(main())
