"""Kaggle's Digit Recognizer: from train.csv to a submission, and to an explanation of what the model learned.

Every name of `__all__` is imported when it is first used (PEP 562), so `import digit_recognizer` takes milliseconds.

Example:
    >>> import digit_recognizer as dr
    >>> dr.list_models()[:2]
    ['alexnet', 'baseline']
"""

import importlib
import sys
from types import ModuleType
from typing import Any

__version__ = "0.2.0"

_MODULES = {  # name -> the module that defines it
    "DigitClassifier": "estimator",
    "InputError": "errors",
    "RunConfig": "config",
    "build_config": "models",
    "build_model": "models",
    "compare": "evaluation.predictions",
    "cross_validate": "training.cross_validation",
    "ensemble": "evaluation.predictions",
    "evaluate": "evaluation.metrics",
    "find_data": "data.dataset",
    "find_label_errors": "reporting.error_report",
    "list_models": "models",
    "load_fold_models": "training.weights",
    "load_pretrained": "models._packaged",
    "load_test": "data.dataset",
    "load_train": "data.dataset",
    "make_folds": "data.splits",
    "predict": "vision.recognition",
    "runs": "evaluation.leaderboard",
    "save_submission": "competition.submissions",
    "transfer": "transfer_learning.training",
}
_WITH_KERAS = ("estimator", "training.", "transfer_learning.", "models._packaged")  # modules that import it anyway
__all__ = ["__version__", *sorted(_MODULES)]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _MODULES[name].startswith(_WITH_KERAS):  # whose start fills a notebook with TensorFlow's notes
        importlib.import_module(f"{__name__}.backend").import_keras()
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """This package: `compare`, `ensemble` and `runs` stay functions when commands of the same names are imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _MODULES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
