"""Kernels for Kaggle: a folder with one code file, which carries the package, and its metadata.

The same package, model and commit give the same bytes.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from digit_recognizer import __version__
from digit_recognizer.competition.kaggle_client import COMPETITION
from digit_recognizer.competition.provenance import find_package_commit
from digit_recognizer.errors import InputError
from digit_recognizer.files import write_json, write_text
from digit_recognizer.kernels.bundle import pack_package
from digit_recognizer.models import list_models, load_model_module

KERNELS = Path("kernels")
METADATA = "kernel-metadata.json"
OWNER = "OWNER"  # stands for the account's name until a kernel is pushed
CALLED = ("digit_recognizer.backend", "digit_recognizer.kernels.session")  # by the code below
HOURS = 11.5  # Kaggle ends a session after 12, and then keeps nothing

SCRIPT = Template('''\
"""Kaggle's Digit Recognizer by the model $model: cross-validated, with a submission.

This one file carries the package digit_recognizer $version (commit $commit), packed below, and runs the
cross-validation that `python -m digit_recognizer.cv --model $model` runs at home. It takes nothing from the network.

Attached  the competition $competition$attached
Leaves    submission.csv to hand in, and its note; class_counts, samples, curves, confusion and hardest .png;
          run/ with every probability and net (see "What a run leaves" in the package's README)

Made by `python -m digit_recognizer.kernel build $model`. Change the settings here, the rest in the package.
"""

SETTINGS = {}  # what differs from the model's recipe, as {"seed": 1}; {"smoke": True} tries all in a minute
HOURS = $hours  # then the run stops and keeps what is done; a next version that has this one attached goes on


def main():
    """Unpack the package, then cross-validate."""
    unpack()
    from digit_recognizer.errors import InputError
    from digit_recognizer.kernels.session import run_session

    try:
        run_session("$model", SETTINGS, HOURS)
    except InputError as error:  # something attached or set is wrong, and this line says what
        raise SystemExit(f"$model: {error}") from None


$unpack


# From here on there is only the package, as base64 of bzip2 of JSON: the text of each file by its path.
PACKAGE = """
$package
"""

if __name__ == "__main__":
    main()
''')

UNPACK = '''\
def unpack():
    """Write the package to a folder of its own and import from there."""
    import base64
    import bz2
    import json
    import os
    import sys
    import tempfile
    from pathlib import Path

    folder = Path(tempfile.mkdtemp())
    for name, text in json.loads(bz2.decompress(base64.b64decode(PACKAGE))).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    sys.path.insert(0, str(folder))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # else TensorFlow's notes on its start come first
    from digit_recognizer.backend import import_keras

    import_keras()'''


@dataclass(frozen=True, kw_only=True)
class KernelPlan:
    """What a kernel is to be.

    Attributes:
        model: that it cross-validates.
        owner: the account's name; OWNER leaves it to `kernel push`.
        gpu: whether it asks for an accelerator.
        resume: whether its own earlier version is attached, to go on where that ran out of time.
        weights_source: the data set, as owner/name, that holds a transfer net's weights; None takes the model's own.
        commit: that last changed the package; None asks git.
        overwrite: whether a kernel that was edited by hand may be replaced.
    """

    model: str
    owner: str = OWNER
    gpu: bool = False
    resume: bool = False
    weights_source: str | None = None
    commit: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse names that Kaggle has not.

        Raises:
            InputError: for an owner or a data set that cannot be one.
        """
        check_owner(self.owner)
        if self.weights_source is not None and not re.fullmatch("[A-Za-z0-9-]+/[A-Za-z0-9-]+", self.weights_source):
            raise InputError(f"--weights-source takes a data set as owner/name; received {self.weights_source!r}.")

    def find_commit(self) -> str:
        """The commit as it is written down."""
        return self.commit or find_package_commit() or "unknown"

    def list_data_sources(self) -> list[str]:
        """The data sets that are attached.

        Raises:
            InputError: if no model has that name, or weights are named for one that takes none.
        """
        if self.model not in list_models():
            raise InputError(f"MODEL takes one of {', '.join(list_models())}; received {self.model!r}.")
        own = getattr(load_model_module(self.model), "WEIGHTS_SOURCE", None)
        if self.weights_source and own is None:
            raise InputError(f"--weights-source is for transfer nets; {self.model} has no weights to attach.")
        source = self.weights_source or own
        return [source] if source else []


def check_owner(owner: str) -> None:
    """Refuse what cannot be an account's name.

    Raises:
        InputError: with what was received.
    """
    if not re.fullmatch("[A-Za-z0-9-]+", owner):
        raise InputError(f"--owner takes an account's name on Kaggle; received {owner!r}.")


def build_script(plan: KernelPlan, folder: Path | None = None) -> Path:
    """Write a script kernel.

    Args:
        plan: what it is to be.
        folder: where; by default kernels/<model>. A kernel that is there is replaced, unless it was edited.

    Returns:
        The folder.

    Raises:
        InputError: for an unknown model, or a folder that holds something else.
    """
    sources = plan.list_data_sources()
    script = SCRIPT.substitute(
        model=plan.model,
        version=__version__,
        commit=plan.find_commit(),
        competition=COMPETITION,
        attached="".join(f", the data set {source}" for source in sources),
        hours=HOURS,
        unpack=UNPACK,
        package=pack(plan),
    )
    return write_kernel(
        folder or KERNELS / plan.model, f"{plan.model}.py", script, plan, f"Digit Recognizer {plan.model}"
    )


def pack(plan: KernelPlan) -> str:
    """The package as the plan's kernel carries it."""
    return pack_package([*CALLED, f"digit_recognizer.models.{plan.model}"], plan.find_commit())


def write_kernel(folder: Path, file: str, content: str, plan: KernelPlan, title: str) -> Path:
    """Write a kernel's two files.

    Raises:
        InputError: if the folder holds anything but a kernel of this kind, or one that was edited.
    """
    if folder.exists():
        others = [path.name for path in folder.iterdir() if path.name not in (file, METADATA)]
        if others:
            raise InputError(f"{folder} must hold a kernel and nothing else, but holds {others[0]}: name another.")
    old = folder / file
    if (
        not plan.overwrite
        and old.exists()
        and _strip(old.read_text(encoding="utf-8", errors="replace")) != _strip(content)
    ):
        raise InputError(
            f"{old} must not lose what was edited in it, such as its settings: pass --overwrite, or name another place "
            "by --output-dir."
        )
    write_text(old, content)
    write_json(folder / METADATA, describe_kernel(file, plan, title))
    return folder


def _strip(code: str) -> str:
    """A code file without what differs from build to build: version, commit, what is attached, the package."""
    code = re.sub(r"[0-9][^ ]* [(]commit [^)]*[)]|^Attached .*$", "", code, flags=re.MULTILINE)
    return re.sub(r'PACKAGE = (\\?"){3}.*?(\\?"){3}', "", code, flags=re.DOTALL)


def describe_kernel(file: str, plan: KernelPlan, title: str) -> dict[str, Any]:
    """The content of kernel-metadata.json, with every field that has a default of another mind."""
    name = f"{plan.owner}/{title.lower().replace(' ', '-')}"
    return {
        "id": name,
        "title": title,
        "code_file": file,
        "language": "python",
        "kernel_type": "notebook" if file.endswith(".ipynb") else "script",
        "is_private": True,
        "enable_gpu": plan.gpu,
        "enable_tpu": False,
        "enable_internet": False,
        "competition_sources": [COMPETITION],
        "dataset_sources": plan.list_data_sources(),
        "kernel_sources": [name] if plan.resume else [],
        "model_sources": [],
    }
