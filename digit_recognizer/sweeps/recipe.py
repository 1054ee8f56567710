"""The whole recipe of a study's runs: what its file says, and what it leaves to the model and to the defaults."""

from collections.abc import Sequence

from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError
from digit_recognizer.inspection.sections import Section
from digit_recognizer.models import load_preset
from digit_recognizer.sweeps.study import Setting, Study
from digit_recognizer.training.inputs import count_parameters

SET_BY_SWEEP = ("input_dir", "run_dir", "submission", "seed", "smoke", "tensorboard", "net", "test_rows")


def describe_recipe(study: Study, settings: Sequence[Setting]) -> list[Section]:
    """A section with every field of the runs' configurations, its values, and who chose them; empty of no settings."""
    if not settings:
        return []
    configs = [study.build_config(setting, 0).to_json() for setting in settings]
    rows = [("setting", "value", "chosen by")]
    for name in configs[0]:
        if name in SET_BY_SWEEP:
            continue
        values = list(dict.fromkeys(str(config[name]) for config in configs))
        rows.append((name, ", ".join(values), _tell_source(study, settings, configs, name)))
    words = (
        "What the study's file does not name is the model's own recipe, or the default of every run; the same flags "
        "given to train make the same run."
    )
    return [Section("Every setting of the runs", (words, *list_cautions(study, settings)), table=tuple(rows))]


def list_cautions(study: Study, settings: Sequence[Setting]) -> list[str]:
    """What varies without what it must be tuned with; where a run's accuracy is not its curve's. A sentence each."""
    said = {*study.fixed, *(name for setting in settings for name in setting)}
    configs = [study.build_config(setting, 0) for setting in settings]
    cautions = []
    optimizers = {config.optimizer for config in configs}
    if len(optimizers) > 1 and "learning_rate" not in said:
        rates = sorted({config.learning_rate for config in configs})
        cautions.append(
            f"The optimizers {', '.join(sorted(optimizers))} were compared at a learning rate that the file does not "
            f"name ({', '.join(f'{rate:g}' for rate in rates)}), which suits at most one of them: name one for each."
        )
    if any(config.early_stopping_epochs for config in configs):
        cautions.append(
            "Runs stop early, with the weights of the epoch that was best on rows set aside: their accuracy is that "
            "epoch's, and their learning curve goes on beyond it."
        )
    if any(config.shifted_copies > 1 for config in configs):
        cautions.append(
            "At its end a net judges several shifted copies of each image (shifted_copies), on its learning curve the "
            "image alone: the curve's last point is another accuracy than the run's."
        )
    return cautions


def list_impossible(study: Study, settings: Sequence[Setting]) -> list[str]:
    """Settings of which no net can be built, told before hours are spent on the others: a sentence each."""
    sentences = []
    for setting in settings:
        config = study.build_config(setting, 0)
        try:
            count_parameters(config.model, config.net)
        except InputError as error:
            values = " ".join(f"{name}={setting[name]}" for name in study.parameters if name in setting)
            sentences.append(f"no net can be built with {values}, so its trials will fail: {error}")
    return sentences


def _tell_source(study: Study, settings: Sequence[Setting], configs: Sequence[dict[str, object]], name: str) -> str:
    if name in study.fixed:
        return "the study"
    if any(name in setting for setting in settings):
        return "the study: it varies"
    models = {str(config["model"]) for config in configs}
    if any(name in load_preset(model) for model in models):
        return f"the recipe of {', '.join(sorted(models))}"
    return "default" if all(config[name] == RunConfig().to_json()[name] for config in configs) else "the sweep"
