"""The index of an examination, examination.json: what was found, in the order of reading, and the files that show it.

It is written last and taken away first, so that a folder with an index holds one whole examination.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from digit_recognizer.errors import InputError
from digit_recognizer.files import install_file, read_json, write_json
from digit_recognizer.inspection.sections import FigureFile, Section
from digit_recognizer.locks import lock_folder

INDEX = "examination.json"


@dataclass(frozen=True)
class HeldOutScore:
    """How many of the rows that no net was fitted on were read rightly.

    Attributes:
        accuracy, low, high: the share of them, and the bounds of its 95 % interval, in [0, 1].
        rows: held out.
        all_rows: of train.csv.
    """

    accuracy: float
    low: float
    high: float
    rows: int
    all_rows: int


@dataclass(frozen=True)
class Examination:
    """What was found in a run.

    Attributes:
        oof_sha256: of the run's oof_probabilities.npy, by which the run is known again.
        score: of the run.
        sections: in the order of reading; their titles are unique.
    """

    oof_sha256: str
    score: HeldOutScore
    sections: tuple[Section, ...]


def publish(examination: Examination, staging: Path, folder: Path) -> None:
    """Let a finished examination take the place of an older one, whose figures vanish.

    Args:
        examination: its figures lie in `staging`.
        staging: holds them and any other file of the examination, all on the disk of `folder`.
        folder: the examination's own.

    Raises:
        OSError: if the folder cannot be written to. Then it has no index, or the old one.
    """
    with lock_folder(folder):  # two at once must not mix
        before = _find_older_figures(folder)
        (folder / INDEX).unlink(missing_ok=True)
        staged = sorted(staging.iterdir())
        for file in staged:
            install_file(file, folder / file.name)
        for figure in before - {file.name for file in staged}:
            (folder / figure).unlink(missing_ok=True)
        content = asdict(examination)
        for section in content["sections"]:
            section["figures"] = [{**figure, "path": figure["path"].name} for figure in section["figures"]]
        write_json(folder / INDEX, content)


def read_examination(folder: Path) -> Examination:
    """Read the index of an examination; the figures' paths lead into `folder`.

    Raises:
        InputError: if there is none, or it is damaged.
    """
    path = folder / INDEX
    content = read_json(path)
    try:
        sections = tuple(_parse_section(section, folder) for section in _check(content["sections"], list))
        score = content["score"]
        accuracy, low, high = (float(_check(score[name], (int, float))) for name in ("accuracy", "low", "high"))
        rows, all_rows = (_check(score[name], int) for name in ("rows", "all_rows"))
        if not (0 <= low <= accuracy <= high <= 1 and 0 < rows <= all_rows):
            raise ValueError("its score is none")
        found = HeldOutScore(accuracy, low, high, rows, all_rows)
        return Examination(_check(content["oof_sha256"], str), found, sections)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} must be the index of an examination, but {error}: examine the run anew.") from error


def _parse_section(content: Any, folder: Path) -> Section:
    figures = [
        FigureFile(folder / _check_name(figure["path"]), _check(figure["caption"], str))
        for figure in _check(content["figures"], list)
    ]
    table = tuple(tuple(_check(cell, str) for cell in _check(row, list)) for row in _check(content["table"], list))
    if len({len(row) for row in table}) > 1:
        raise ValueError("the rows of a table are of different lengths")
    paragraphs = tuple(_check(paragraph, str) for paragraph in _check(content["paragraphs"], list))
    return Section(_check(content["title"], str), paragraphs, tuple(figures), table)


def _check(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{repr(value)[:40]} stands where something else is due")
    return value


def _check_name(name: Any) -> str:
    """A plain file name: an index from elsewhere must lead nowhere else."""
    if _check(name, str) != Path(name).name or not name.endswith(".png") or "\0" in name:
        raise ValueError(f"{name[:40]!r} is no figure's name")
    return str(name)


def _find_older_figures(folder: Path) -> set[str]:
    try:
        sections = read_examination(folder).sections
    except InputError:  # there is none, or none that can be believed: what lies there is nobody's to remove
        return set()
    return {figure.path.name for section in sections for figure in section.figures}
