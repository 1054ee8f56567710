import keras
import numpy as np
import pytest

from digit_recognizer.training.hardware import precision_policy
from digit_recognizer.training.optimizers import UPDATE_RMS, Muon, build_optimizer, build_schedule


def to_numpy(value):
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(value, "float32")))


@pytest.mark.parametrize(("precision", "scale"), [("float32", 7), ("bfloat16", 7), ("float16", 1e-5)])
@pytest.mark.parametrize("shape", [(288, 32), (32, 288), (20, 20), (7, 1)], ids=str)
def test_an_update_keeps_directions_and_evens_out_singular_values(shape, precision, scale):
    rng = np.random.default_rng(0)
    left, _ = np.linalg.qr(rng.standard_normal((shape[0], min(shape))))
    right, _ = np.linalg.qr(rng.standard_normal((shape[1], min(shape))))
    values = np.geomspace(1, 0.05, min(shape))  # the norm divides them, and five steps raise what is above 1 %
    momentum = keras.ops.cast((left * values) @ right.T * scale, "float32")
    with precision_policy(precision):
        update = Muon().zeropower_via_newtonschulz5(momentum, 5)
    assert update.shape == shape and update.dtype == momentum.dtype
    inner = left.T @ to_numpy(update) @ right / (UPDATE_RMS * max(shape) ** 0.5)
    assert np.diag(inner) == pytest.approx(np.ones(min(shape)), abs=0.36)
    assert np.abs(inner - np.diag(np.diag(inner))).max() < (1e-3 if precision == "float32" else 0.1)


def make_variables():
    shapes = {"first": (5, 5, 1, 4), "hidden": (3, 3, 4, 8), "dense": (8, 6), "gamma": (8,), "probabilities": (6, 10)}
    rng = np.random.default_rng(1)
    return [keras.Variable(rng.standard_normal(shape), name=name) for name, shape in shapes.items()]


def test_muon_takes_kernels_between_hidden_layers_and_adam_the_rest():
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(2, 3, name="first"),
            keras.layers.Conv2D(3, 3, name="second"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4, name="embedding"),
            keras.layers.Dense(10, name="probabilities"),
        ]
    )
    assert [v.path.removeprefix(f"{model.name}/") for v in model.variables if not Muon()._should_use_adamw(v)] == [
        "second/kernel",
        "embedding/kernel",
    ]


def test_the_size_of_an_update_does_not_depend_on_the_gradients():
    for scale in (1e-4, 1.0, 1e4):
        variable = keras.Variable(np.zeros((3, 3, 16, 32)), name="kernel")
        optimizer = Muon(0.5)
        gradient = np.random.default_rng(2).standard_normal((3, 3, 16, 32)).astype(np.float32) * scale
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        step = to_numpy(variable.value)
        assert np.sqrt(np.mean(step**2)) == pytest.approx(0.5 * UPDATE_RMS, rel=0.25)
        assert np.sum(step * gradient) < 0, "downhill"


def test_the_rest_is_updated_as_by_keras_adam():
    learning_rate, ratio = 0.05, 0.2
    ours, theirs = (keras.Variable(np.linspace(-1, 1, 8), name="gamma") for _ in range(2))
    muon = Muon(learning_rate, adam_lr_ratio=ratio)
    adam = keras.optimizers.Adam(learning_rate * ratio, beta_2=0.99, epsilon=1e-8)
    rng = np.random.default_rng(3)
    for _ in range(5):
        gradient = keras.ops.convert_to_tensor(rng.standard_normal(8).astype(np.float32))
        muon.apply([gradient], [ours])
        adam.apply([gradient], [theirs])
    assert to_numpy(ours.value) == pytest.approx(to_numpy(theirs.value), rel=1e-4)


def test_muon_descends_a_valley_that_gradients_hardly_show():
    """Along one direction the loss is a hundred times flatter; orthogonal steps go down both alike."""
    scales = np.array([1.0, 0.1], np.float32)
    variable = keras.Variable(np.eye(2), dtype="float32", name="kernel")
    muon = Muon(keras.optimizers.schedules.PolynomialDecay(0.2, 60, 0.0))
    for _ in range(60):
        muon.apply([keras.ops.convert_to_tensor(to_numpy(variable.value) * scales[:, None] ** 2)], [variable])
    assert np.abs(to_numpy(variable.value)).max() < 0.25


def test_settings_are_saved_and_every_variable_has_its_state():
    variables = make_variables()
    muon = Muon(0.1, adam_lr_ratio=0.3, momentum=0.8, weight_decay=0.01)
    muon.build(variables)
    again = Muon.from_config(muon.get_config())
    assert again.get_config() == muon.get_config()
    hidden = [variable for variable in variables if not Muon()._should_use_adamw(variable)]
    assert len(muon.variables) == 2 + len(hidden) + 2 * (len(variables) - len(hidden))  # 2: iteration, learning rate


@pytest.mark.parametrize(("name", "kind"), [("adam", keras.optimizers.Adam), ("adagrad", keras.optimizers.Adagrad)])
def test_adam_and_adagrad_are_keras_own_and_only_kernels_decay(name, kind):
    optimizer, plain = build_optimizer(name, 0.1, 0.5), kind(0.1)
    assert type(optimizer) is kind
    ours, theirs = ([keras.Variable(np.ones(3), name=part) for part in ("kernel", "bias")] for _ in range(2))
    gradients = [keras.ops.convert_to_tensor(np.array([0.3, -2.0, 0.0], np.float32)) for _ in ours]
    optimizer.apply(gradients, ours)
    plain.apply(gradients, theirs)
    kernel, bias = (to_numpy(mine.value) - to_numpy(other.value) for mine, other in zip(ours, theirs, strict=True))
    assert kernel == pytest.approx(np.full(3, -0.1 * 0.5), abs=1e-6) and np.abs(bias).max() == 0


def list_rates(name, steps=600, peak=2.0):
    schedule = build_schedule(name, peak, steps)
    return np.array([float(schedule(step)) for step in range(steps)])


@pytest.mark.parametrize("name", ["constant", "plateau"])
def test_a_constant_learning_rate_is_a_number(name):
    assert build_schedule(name, 0.5, 10) == 0.5


def test_step_halves_five_times_at_equal_distances():
    assert np.array_equal(list_rates("step"), np.repeat(2.0 / 2 ** np.arange(6), 100))


def test_cosine_falls_from_the_peak_to_a_ten_thousandth():
    values = list_rates("cosine")
    assert values[0] == pytest.approx(2.0) and (np.diff(values) < 0).all()
    assert values[300] == pytest.approx(1.0, rel=1e-3)
    assert float(build_schedule("cosine", 2.0, 600)(600)) == pytest.approx(2e-4, rel=1e-3)


def test_one_cycle_rises_for_a_quarter_and_falls_for_the_rest():
    values = list_rates("one-cycle")
    assert values[0] == pytest.approx(0.08)
    assert values.argmax() == 150 and values.max() == pytest.approx(2.0)
    assert (np.diff(values[:150]) > 0).all() and (np.diff(values[150:]) < 0).all()


@pytest.mark.parametrize("name", ["step", "cosine", "one-cycle"])
def test_past_its_end_a_schedule_stays_where_it_ended(name):
    schedule = build_schedule(name, 1.0, 40)
    assert float(schedule(10_000)) == float(schedule(40)) > 0
