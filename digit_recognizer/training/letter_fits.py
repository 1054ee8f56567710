"""The fits of a transfer to letters: with every seed, on all training pictures or on all but a fold."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from digit_recognizer.data.class_folders import ClassFolder, Pictures
from digit_recognizer.data.few_shot import make_copies
from digit_recognizer.data.folds import assign_folds
from digit_recognizer.models._heads import Transferred, count_parameters
from digit_recognizer.training.fit import EpochListener, predict_probabilities
from digit_recognizer.training.heads import check_converged, embed, fine_tune, fit_linear_head
from digit_recognizer.training.neighbours import predict_by_neighbours, predict_by_prototypes
from digit_recognizer.training.progress import Progress
from digit_recognizer.training.runs import RunFolder
from digit_recognizer.training.seeds import derive_seed
from digit_recognizer.training.transfer_config import MOST_COPIES, TransferConfig
from digit_recognizer.training.transfer_results import Judgement, save_model

MOST_FOLDS = 5
Reading = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of some pictures: the net's probabilities, the nearest class means, the neighbours' votes."""


class LetterFits:
    """The fits of one transfer. The net of the first seed, fitted on all training pictures, is saved.

    Args:
        config: what to do.
        run: the folder to save in, and to tell of progress.
        transferred: the net with its new output layer; every fit begins with the weights that it has now.
        train: the training pictures.
        pictures: what was read of them.

    Attributes:
        history: a row per epoch, of all fits.
        parameters: of the net as it was fitted: how many were trained, and how many frozen.
    """

    def __init__(
        self, config: TransferConfig, run: RunFolder, transferred: Transferred, train: ClassFolder, pictures: Pictures
    ) -> None:
        self.config, self.run, self.transferred = config, run, transferred
        self.labels, self.images, self.names = train.labels, pictures.images, train.names
        self.groups = np.unique([image for _, image in pictures.digests], return_inverse=True)[1]
        self.weights = transferred.body.get_weights()
        self.history: list[dict[str, Any]] = []
        self.parameters = (0, 0)
        self.seeds = range(config.seed, config.seed + config.seeds)
        self.copies = min(config.copies, MOST_COPIES // len(self.labels))
        if self.copies < config.copies:
            run.say(f"note: {self.copies} copies of each picture, not {config.copies}: no more than {MOST_COPIES:,}")

    def judge_test(self, test: ClassFolder, seen: Pictures, chosen: np.ndarray) -> Judgement:
        """Fit on all training pictures with each seed, and read the test pictures that `chosen` (m,) marks."""
        self._begin(len(self.seeds))
        images = seen.images[chosen]
        queries = embed(self.transferred.body, images)
        readings = []
        for seed in self.seeds:
            self._make_copies(seed)
            readings.append(self._read(seed, np.ones(len(self.labels), bool), images, queries))
            self._keep(seed)
        files = [name for name, taken in zip(test.names, chosen, strict=True) if taken]
        return _join("test pictures", files, test.labels[chosen], readings)

    def judge_folds(self) -> Judgement | None:
        """Read every training picture by a net fitted on the others; None if a class has no second picture.

        With each seed the folds are others; copies of a picture are in its fold, and so are equal pictures.
        """
        pictures = np.unique(self.groups, return_index=True)[1]
        folds = min(MOST_FOLDS, int(np.bincount(self.labels[pictures], minlength=self.labels.max() + 1).min()))
        judged = folds > 1
        self._begin(1 + len(self.seeds) * folds * judged)
        readings: list[Reading] = []
        for seed in self.seeds if judged else self.seeds[:1]:
            self._make_copies(seed)
            if judged:
                readings.append(self._read_folds(seed, folds))
            if seed == self.seeds[0]:
                self._read(seed, np.ones(len(self.labels), bool), self.images[:0], self.embeddings[0, :0])
                self._keep(seed)
        if not judged:
            return None
        return _join(f"training pictures, held out in {folds} folds", self.names, self.labels, readings)

    def _read_folds(self, seed: int, folds: int) -> Reading:
        fold_of_row = assign_folds(self.labels, folds, derive_seed(seed, "folds"), self.groups)
        order, parts = [], []
        for fold in range(folds):
            held_out = fold_of_row == fold
            order.append(np.flatnonzero(held_out))
            queries = self.embeddings[0, held_out]
            parts.append(self._read(seed, ~held_out, self.images[held_out], queries, f" fold {fold + 1}/{folds}"))
        places = np.argsort(np.concatenate(order))
        probabilities, prototypes, neighbours = (np.concatenate(part)[places] for part in zip(*parts, strict=True))
        return probabilities, prototypes, neighbours

    def _make_copies(self, seed: int) -> None:
        """Make a seed's copies, (1 + copies, n, ...), and what the frozen net makes of them."""
        self._restore()
        copies = make_copies(self.images, self.copies, np.random.default_rng(derive_seed(seed, "copies")))
        embeddings = embed(self.transferred.body, copies)
        rows = (1 + self.copies, len(self.labels))
        self.views, self.embeddings = copies.reshape(*rows, *copies.shape[1:]), embeddings.reshape(*rows, -1)

    def _restore(self) -> None:
        self.transferred.body.trainable = False
        self.transferred.body.set_weights(self.weights)

    def _read(self, seed: int, fitted: np.ndarray, images: np.ndarray, queries: np.ndarray, part: str = "") -> Reading:
        """Fit on the training pictures that `fitted` marks and on their copies; read others, embedded in `queries`."""
        self._restore()
        net, known = self.transferred, self.labels[fitted]
        labels = np.tile(known, 1 + self.copies)
        embeddings = self.embeddings[:, fitted].reshape(len(labels), -1)
        on_epoch = self._listen(seed, part)
        net.output_layer.set_weights(list(fit_linear_head(embeddings, labels, self.config, seed, on_epoch)))
        if self.config.unfreeze is not None:
            copies = self.views[:, fitted].reshape(len(labels), *images.shape[1:])
            fine_tune(net, copies, labels, self.config, seed, on_epoch)
        self.parameters = count_parameters(net.model)
        probabilities = predict_probabilities(net.model, images)
        check_converged(probabilities)
        votes = predict_by_neighbours(embeddings, labels, queries, self.config.neighbours)
        return probabilities, predict_by_prototypes(embeddings[: len(known)], known, queries), votes

    def _begin(self, fits: int) -> None:
        epochs = self.config.epochs + (self.config.unfreeze_epochs if self.config.unfreeze else 0)
        self.progress = Progress(self.run.say, fits * epochs)

    def _listen(self, seed: int, part: str) -> EpochListener:

        def on_epoch(epoch: dict[str, Any]) -> None:
            self.history.append({"seed": seed, "part": part.strip() or "all", **epoch})
            self.progress.report_epoch(f"seed {seed}{part}", epoch)

        return on_epoch

    def _keep(self, seed: int) -> None:
        if seed == self.seeds[0]:
            save_model(self.run, self.transferred.model)


def _join(what: str, files: list[str], labels: np.ndarray, readings: Sequence[Reading]) -> Judgement:
    probabilities, prototypes, neighbours = (np.stack(part) for part in zip(*readings, strict=True))
    return Judgement(what, files, labels, probabilities, prototypes, neighbours)
