"""The shell lines of the documentation, and what the tests do with each; `python tests/docs_commands.py` counts them.

A line in a fenced block is run by a test, or checked by a rule of RULES, or has a reason why it cannot be run: in
REASONS, or in a comment before its block:

    <!-- not run: needs a Kaggle account -->
"""

import re
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
FENCE = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>[^\n]+?) -->\n+)?^(?P<indent> *)```(?P<language>\w*)\n"
    r"(?P<body>.*?)^(?P=indent)```$",
    flags=re.MULTILINE | re.DOTALL,
)
SHELL = ("", "bash", "sh")
PACKAGE = "python -m digit_recognizer."
REASONS = {  # beginning of a line -> why no test runs it
    PACKAGE + "download kaggle": "needs a Kaggle account; tests/test_kaggle_download.py has a server of its own",
    PACKAGE + "submit ": "needs a Kaggle account; tests/test_submitting.py has a server of its own",
    PACKAGE + "kernel ": "needs a Kaggle account; tests/test_kernel_runs.py has a server of its own",
    PACKAGE + "app": "serves until Ctrl-C; tests/test_app.py starts it",
    ". .venv/bin/activate": "changes the reader's shell only",
}
RULES = {  # what a line is -> what is checked in place of running it
    r"make ([\w-]+)": "the Makefile has the target; the jobs of .github/workflows run them",
    r"pip install 'digit_recognizer\[([\w,]+)\]'": "setup.cfg has the extras",
    r"\.venv/bin/python -m pytest -n 0 (\S+)": "the file exists",
}
WITHOUT_KERAS = ("models", "runs", "submissions", "completion")  # quick enough for the fast tier


@dataclass(frozen=True)
class Line:
    """A shell line of a page, without its comment.

    Attributes:
        page: relative to the repository.
        text: the line; one that ends in a backslash is joined with the next.
        reason: why it is not run; "" if it is.
    """

    page: str
    text: str
    reason: str

    @property
    def rule(self) -> str | None:
        return next((rule for rule in RULES if re.fullmatch(rule, self.text)), None)

    @property
    def treatment(self) -> str:
        """What the tests do: "marked", "checked", "quick" (run in the fast tier), "slow" (in the slow one), or ""."""
        if self.reason:
            return "marked"
        if self.rule:
            return "checked"
        if not self.text.startswith(PACKAGE):
            return ""
        name, *arguments = shlex.split(self.text.removeprefix(PACKAGE))
        quick = name in WITHOUT_KERAS or "--help" in arguments or [name, *arguments[:1]] == ["download", "sample"]
        return "quick" if quick else "slow"


def list_lines() -> list[Line]:
    """All shell lines of all pages."""
    lines = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for block in FENCE.finditer(text):
            if block["language"] not in SHELL:
                continue
            for line in block["body"].splitlines():
                bare = re.sub(r"\s+#.*$", "", line).strip()
                known = next((why for start, why in REASONS.items() if bare.startswith(start)), "")
                if bare:
                    lines.append(Line(str(path.relative_to(ROOT)), bare, block["reason"] or known))
    return lines


if __name__ == "__main__":
    found = list_lines()
    print(Counter(line.treatment for line in found))
    for reason, count in Counter(line.reason for line in found if line.reason).most_common():
        print(f"{count:3} {reason}")
