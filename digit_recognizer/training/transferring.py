"""Letters: a net that has learned to read digits is taught another alphabet from a few pictures of each sign."""

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from digit_recognizer.config import Preparation
from digit_recognizer.data.class_folders import find_classes, find_shared, load_pictures
from digit_recognizer.data.handwriting import load_letter
from digit_recognizer.data.preparation import prepare_images
from digit_recognizer.errors import InputError
from digit_recognizer.files import check_writable_folder
from digit_recognizer.models import load_ready_model
from digit_recognizer.models._heads import replace_head, unfreeze_from
from digit_recognizer.training.letter_fits import LetterFits
from digit_recognizer.training.run_nets import load_run_nets
from digit_recognizer.training.runs import CONFIG, RunFolder
from digit_recognizer.training.seeds import derive_seed
from digit_recognizer.training.transfer_conclusion import conclude
from digit_recognizer.training.transfer_config import PHOTOGRAPHS, READY, TransferConfig
from digit_recognizer.training.transfer_results import Judgement, describe_parameters


def transfer(config: TransferConfig) -> dict[str, Any]:
    """Teach a net new classes, from the folders of pictures to a run folder.

    Args:
        config: what to do.

    Returns:
        The content of metrics.json; everything else is in the run folder (see `transfer_conclusion`).

    Raises:
        InputError: one line for whatever the person at the keyboard can mend; found before any training.
    """
    if config.run == PHOTOGRAPHS:
        from digit_recognizer.training.photograph_transfer import transfer_photographs

        return transfer_photographs(config)
    started = time.perf_counter()
    if config.run_dir is not None:
        check_writable_folder(config.run_dir.parent)
        if config.images.resolve() in config.run_dir.resolve().parents:
            raise InputError(f"--run-dir takes a place apart, but {config.run_dir} is in --images: name another.")
    train = find_classes(config.images, "--images")
    test = find_classes(config.test, "--test", train.classes) if config.test is not None else None
    keras.utils.set_random_seed(derive_seed(config.seed, "fit"))  # a loaded net draws the seeds of its dropout
    net, preparation = open_net(config.run)
    transferred = replace_head(net, len(train.classes))
    if config.unfreeze is not None:
        unfreeze_from(transferred.model, config.unfreeze)

    def read(path: Path) -> np.ndarray:
        return prepare_images(load_letter(path)[None], preparation)[0]

    pictures = load_pictures(train.files, read, "training pictures")
    seen = load_pictures(test.files, read, "test pictures") if test is not None else None
    shared = find_shared(pictures.digests, seen.digests) if seen is not None else np.zeros(0, bool)
    if len(shared) and shared.all():
        raise InputError(f"--test takes other pictures than --images, but all of {config.test} are also there.")
    with RunFolder.create(config, "transfer") as run:
        for note in (*train.notes, *(test.notes if test is not None else ())):
            run.say(f"note: {note}")
        run.say(f"{config.run}: {len(train.files):,} pictures of {len(train.classes):,} classes; run folder {run.path}")
        run.say(describe_parameters(transferred.model))
        fits = LetterFits(config, run, transferred, train, pictures)
        names: list[str] = []
        judgement: Judgement | None
        if test is not None and seen is not None:
            judgement, images = fits.judge_test(test, seen, ~shared), seen.images[~shared]
            names = [name for name, both in zip(test.names, shared, strict=True) if both]
        else:
            judgement, images = fits.judge_folds(), pictures.images
        return conclude(config, run, train, judgement, images, fits.history, fits.parameters, names, started)


def open_net(run: str) -> tuple[keras.Model, Preparation]:
    """The net of a run's first fold, or the ready model, and what is to be done to its images first.

    Raises:
        InputError: if it is neither, or its images are no letters' ones.
    """
    if run == READY:
        return load_ready_model(), "none"
    folder = Path(run)
    if not (folder / CONFIG).is_file():
        raise InputError(f"RUN takes a run folder, {READY} or {PHOTOGRAPHS}, but {folder} has no {CONFIG}: name a run.")
    nets = load_run_nets(folder, most=1)
    return nets.models[0], nets.config.preparation
