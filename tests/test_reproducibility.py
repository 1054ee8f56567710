"""Seeds, and the fingerprint of what decides a run's numbers. How a resumed run uses it is in test_resume.py."""

import shutil
from pathlib import Path

import pytest
from conftest import expect_error

import digit_recognizer
from digit_recognizer.config import RunConfig
from digit_recognizer.training.reproducibility import (
    OTHER_CODE,
    PURPOSES,
    compare_fingerprints,
    compare_machines,
    derive_seed,
    describe_machine,
    hash_code,
    join_differences,
)

PACKAGE = Path(digit_recognizer.__file__).parent


def test_every_purpose_and_fold_has_a_seed_of_its_own():
    seeds = {derive_seed(seed, purpose, fold) for seed in (0, 1) for purpose in PURPOSES for fold in (0, 1)}
    assert len(seeds) == 4 * len(PURPOSES)


def test_seeds_stay_what_they_are():
    """Published numbers follow from these."""
    seeds = [2968811710, 3964924996, 3141116543, 2613022947, 1874364848, 161328693]
    assert [derive_seed(0, purpose) for purpose in PURPOSES] == seeds
    assert derive_seed(7, "fit", fold=2) == 1734722684


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package's code, to be edited."""
    copy = tmp_path_factory.mktemp("copy") / "digit_recognizer"
    shutil.copytree(PACKAGE, copy, ignore=lambda folder, names: [n for n in names if "." in n and n[-3:] != ".py"])
    return copy


@pytest.mark.parametrize(
    ("file", "line", "counts"),
    [
        ("training/optimizers.py", "EPSILON = 1", True),
        ("training/batches.py", "EPSILON = 1", True),
        ("data/augmentation.py", "EPSILON = 1", True),
        ("config.py", "EPSILON = 1", True),
        ("evaluation/calibration.py", "EPSILON = 1", True),
        ("models/_blocks.py", "EPSILON = 1", True),
        ("models/champion.py", "EPSILON = 1", True),
        ("models/champion.py", "# a comment", False),
        ("models/baseline.py", "EPSILON = 1", False),
        ("data/sources.py", "EPSILON = 1", False),
        ("training/callbacks.py", "EPSILON = 1", False),
        ("training/transfers.py", "EPSILON = 1", False),
        ("submit.py", "EPSILON = 1", False),
    ],
)
def test_only_code_that_decides_the_numbers_counts(package, file, line, counts):
    before = (package / file).read_text()
    hash_code.cache_clear()
    expected = hash_code("champion", package)
    (package / file).write_text(f"{before}\n{line}\n")
    hash_code.cache_clear()
    assert (hash_code("champion", package) != expected) == counts
    (package / file).write_text(before)


def test_code_that_does_not_count_exists():
    assert [name for name in OTHER_CODE if not (PACKAGE / name).exists()] == []


def test_docstrings_do_not_count(package):
    file = package / "models/champion.py"
    before = file.read_text()
    hash_code.cache_clear()
    expected = hash_code("champion", package)
    file.write_text(before.replace('"""', '"""Another text. ', 1))
    hash_code.cache_clear()
    assert hash_code("champion", package) == expected
    file.write_text(before)


def test_each_model_has_a_hash_of_its_own():
    assert hash_code("champion") == hash_code("champion") != hash_code("baseline")


def test_differences_are_named():
    differences = compare_fingerprints({"threads": 4, "keras": "3.15", "gone": 1}, {"threads": 2, "keras": "3.15"})
    assert differences == ["threads: 4 then, 2 now", "gone: 1 then, None now"]
    assert join_differences(differences) == "; ".join(differences)
    assert join_differences(list("abcde")) == "a; b; c; and 2 more"


def test_another_machine_is_refused_and_another_processor_reported():
    config = RunConfig(precision="float32")
    fingerprint = describe_machine(None, config)
    assert compare_machines(fingerprint, config) == []
    with expect_error("machines.different"):
        compare_machines({**fingerprint, "keras": "2.0"}, config)
    (difference,) = compare_machines({**fingerprint, "processor": "abacus"}, config)
    assert difference.startswith("processor: abacus then, ")


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("OPENCV_IPP", True),
        ("OMP_DYNAMIC", True),
        ("TF_XLA_FLAGS", True),
        ("JAX_ENABLE_X64", True),
        ("NVIDIA_TF32_OVERRIDE", True),
        ("NPY_DISABLE_CPU_FEATURES", True),
        ("OPENBLAS_CORETYPE", True),
        ("TF_VAR_password", False),  # Terraform's
        ("TF_CLI_CONFIG_FILE", False),
        ("TF_CPP_MIN_LOG_LEVEL", False),
        ("KMP_DUPLICATE_LIB_OK", False),  # which scikit-learn sets
        ("JAX_COMPILATION_CACHE_DIR", False),
        ("KERAS_MAX_EPOCHS", False),  # is not followed
    ],
)
def test_a_switch_of_a_library_is_part_of_the_fingerprint(name, counts, monkeypatch):
    config = RunConfig(precision="float32")
    before = describe_machine(None, config)
    monkeypatch.setenv(name, "7")
    found = compare_fingerprints(before, describe_machine(None, config))
    assert found == ([f"{name}: None then, 7 now"] if counts else [])
