# What editors and type checkers see of the names that __init__.py imports when they are first used.
from digit_recognizer.competition.submissions import save_submission as save_submission
from digit_recognizer.config import RunConfig as RunConfig
from digit_recognizer.data.dataset import find_data as find_data
from digit_recognizer.data.dataset import load_test as load_test
from digit_recognizer.data.dataset import load_train as load_train
from digit_recognizer.data.splits import make_folds as make_folds
from digit_recognizer.errors import InputError as InputError
from digit_recognizer.estimator import DigitClassifier as DigitClassifier
from digit_recognizer.evaluation.leaderboard import runs as runs
from digit_recognizer.evaluation.metrics import evaluate as evaluate
from digit_recognizer.evaluation.predictions import compare as compare
from digit_recognizer.evaluation.predictions import ensemble as ensemble
from digit_recognizer.models import build_config as build_config
from digit_recognizer.models import build_model as build_model
from digit_recognizer.models import list_models as list_models
from digit_recognizer.models._packaged import load_pretrained as load_pretrained
from digit_recognizer.reporting.error_report import find_label_errors as find_label_errors
from digit_recognizer.training.cross_validation import cross_validate as cross_validate
from digit_recognizer.training.weights import load_fold_models as load_fold_models
from digit_recognizer.transfer_learning.training import transfer as transfer
from digit_recognizer.vision.recognition import predict as predict

__version__: str
__all__: list[str]
