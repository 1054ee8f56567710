"""The commands of README and docs run, on the bundled digits, in a folder that has what their placeholders name.

Training is shortened (SHORTER): what is tested is that a reader who types a line gets what the page says, not a score.
"""

import re
import shlex
import shutil
from pathlib import Path

import cv2
import pandas as pd
import pytest
from docs_commands import PACKAGE, ROOT, list_lines
from drawn_letters import QUICK, write_letters
from paper import Conditions, lay_out

from digit_recognizer.__main__ import import_command

pytestmark = pytest.mark.slow

LINES = sorted({line.text for line in list_lines() if line.treatment == "slow"})
FEW_ROWS = ["--epochs", "1", "--limit-train", "300", "--limit-test", "50"]
SHORTER = {"cv": [*FEW_ROWS, "--folds", "2"], "train": FEW_ROWS, "transfer": QUICK, "sweep": ["--trials", "1"]}
AS_IT_IS = ("--smoke", "--resume")  # short already, or takes no other settings
STUDY = "002-dropout-batch-kernel"


def find_toml(page):
    """The first TOML file that a page shows."""
    return re.search(r"```toml\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.DOTALL)[1]


def run(text):
    """Run a line as the shell would, with less training."""
    name, *arguments = shlex.split(text.removeprefix(PACKAGE))
    shorter = [] if set(AS_IT_IS) & set(arguments) else SHORTER.get(name, [])
    try:
        return import_command(name).main([*arguments, *shorter, "--debug"])
    except SystemExit as ended:  # a sweep ends with the code of its worker
        return ended.code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder after some work: data, finished runs, pictures, letters, and the files that the pages show."""
    place = tmp_path_factory.mktemp("reader")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for data in ("input", "input/sample"):
            import_command("download").main(["sample", "--input-dir", data])
        for number, name in enumerate(("FIRST", "SECOND")):
            flags = ["--model", "dense", "--folds", "2", "--epochs", "2", "--seed", str(number)]
            submission = f"submissions/{name}.csv"
            import_command("cv").main([*flags, "--run-dir", f"runs/{name}", "--submission", submission, "--debug"])
        write_letters(place / "letters" / "train", 5, seed=0)
        write_letters(place / "letters" / "test", 5, seed=1)
        flags = ["--images", "letters/train", "--test", "letters/test", "--run-dir", "runs/TRANSFER", *QUICK]
        import_command("transfer").main(["ready", *flags, "--debug"])
    copies = {"RUN": "FIRST", "OTHER": "SECOND", "ANOTHER": "TRANSFER", "20261120-214501-baseline": "FIRST"}
    for name, made in copies.items():
        shutil.copytree(place / "runs" / made, place / "runs" / name)
    shutil.copy(place / "submissions/SECOND.csv", place / "submissions/THEIRS.csv")
    (place / "run").mkdir()
    shutil.copy(place / "runs/FIRST/config.json", place / "run")
    (place / "mine.toml").write_text(find_toml("training.md").replace("~/kaggle/input", "input"))
    (place / "study.toml").write_text(find_toml("sweeps.md"))
    (place / "studies" / STUDY).mkdir(parents=True)
    shutil.copy(ROOT / "studies" / STUDY / "study.toml", place / "studies" / STUDY)
    images = pd.read_csv(place / "input/train.csv").iloc[:6, 1:].to_numpy("uint8").reshape(-1, 28, 28)
    (place / "scans").mkdir()
    for picture in ("photo.jpg", "scans/page.png"):
        cv2.imwrite(str(place / picture), lay_out(images, 3, Conditions()))
    return place


@pytest.mark.parametrize("text", LINES)
def test_a_command_of_the_pages_runs(text, folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = {path for path in folder.rglob("*") if path.is_file()}
    assert run(text) in (0, None)
    named = [Path(word) for word in shlex.split(text) if word.endswith((".csv", ".png")) and "input/" not in word]
    assert all((folder / path).exists() for path in named)
    trains = text.removeprefix(PACKAGE).startswith(("cv", "train", "sweep", "transfer", "ensemble"))
    if trains and "--resume" not in text:
        assert {path for path in folder.rglob("*") if path.is_file()} - before
