import numpy as np
import pytest

from digit_recognizer.reporting import error_report as hard_rows
from digit_recognizer.reporting import run_report as run_figures
from digit_recognizer.reporting.error_report import find_confidently_wrong, find_hardest

RNG = np.random.default_rng(0)
LABELS = np.array([0, 1, 1, 2, 4, 4, 4, 5, 6, 7, 8, 9])  # no 3
IMAGES = RNG.integers(1, 256, (12, 28, 28, 1), dtype=np.uint8)  # no pixel is paper: gaps can be told
NAN = np.full(10, np.nan, np.float32)


def give_own(labels, own):
    """Probabilities in which each label gets `own`, the next class 0.75 of the rest, the one after it 0.25."""
    labels, own = np.asarray(labels), np.asarray(own)
    probabilities, every = np.zeros((len(labels), 10), np.float32), np.arange(len(labels))
    probabilities[every, labels] = own
    probabilities[every, (labels + 1) % 10] = 0.75 * (1 - own)
    probabilities[every, (labels + 2) % 10] = 0.25 * (1 - own)
    return probabilities


def list_epochs(losses_of_fold):
    return [
        {"fold": fold, "epoch": epoch, "loss": loss, "accuracy": 1 - loss / 10, "learning_rate": 0.1}
        for fold, losses in losses_of_fold.items()
        for epoch, loss in enumerate(losses, 1)
    ]


def read_lines(axes):
    """The lines of a panel, as lists of (x, y), and the points of its markers."""
    lines = [line.get_xydata().tolist() for line in axes.lines if line.get_linestyle() != "None"]
    markers = [point for line in axes.lines if line.get_linestyle() == "None" for point in line.get_xydata().tolist()]
    return lines, markers


def read_cells(axes):
    return {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axes.texts}


def test_each_class_has_a_bar_with_its_count_even_where_there_is_none():
    (axes,) = run_figures._draw_class_counts(np.repeat(LABELS[:-1], 400)).axes
    counts = [400, 800, 400, 0, 1200, 400, 400, 400, 400, 0]
    assert [bar.get_height() for bar in axes.patches] == counts
    assert [text.get_text() for text in axes.texts] == [f"{count:,}" for count in counts]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == list("0123456789")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("digit", "rows of train.csv")


def test_samples_are_the_first_of_each_class_in_a_row_named_after_it():
    (axes,) = run_figures._draw_samples(IMAGES, LABELS, 2).axes
    sheet = np.asarray(axes.images[0].get_array())
    assert sheet.shape == (280, 56)
    cells = sheet.reshape(10, 28, 2, 28).swapaxes(1, 2)
    assert np.array_equal(cells[4], IMAGES[[4, 5], ..., 0])  # row 6 is the third 4
    assert np.array_equal(cells[9, 0], IMAGES[11, ..., 0]) and not cells[9, 1].any()
    assert not cells[3].any()
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list("0123456789")
    assert [int(y // 28) for y in axes.get_yticks()] == list(range(10))


def test_samples_are_dark_on_light_paper():
    (axes,) = run_figures._draw_samples(IMAGES, LABELS, 1).axes
    picture = axes.images[0]
    paper, ink = picture.cmap(picture.norm([0, 255]))[:, :3]
    assert (paper == 1).all() and (ink == 0).all()


def test_every_fold_has_a_line_in_both_panels_and_a_marker_at_its_own_last_epoch():
    history = list_epochs({1: [4, 3], 0: [3, 2, 1]})
    loss, accuracy = run_figures._draw_fold_curves(history, [0.75, 0.875], "a run").axes
    assert read_lines(loss) == ([[[1, 3], [2, 2], [3, 1]], [[1, 4], [2, 3]]], [])
    lines, markers = read_lines(accuracy)
    assert [[y for _, y in line] for line in lines] == [[0.7, 0.8, 0.9], [0.6, 0.7]]
    assert markers == [[3, 0.75], [2, 0.875]]
    assert "0.7500 to 0.8750" in accuracy.get_title() and "1.0000 to 3.0000" in loss.get_title()


def test_held_out_markers_differ_from_training_in_colour_and_shape():
    figure = run_figures._draw_fold_curves(list_epochs({0: [3, 2], 1: [3, 2]}), [0.7, 0.8], "a run")
    *training, held_out = figure.axes[1].lines
    assert {line.get_color() for line in training}.isdisjoint({held_out.get_color()})
    assert {line.get_marker() for line in training}.isdisjoint({held_out.get_marker()})
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["training, one line per fold", "held-out accuracy after the last epoch"]
    assert figure.get_suptitle() == "a run"


def test_history_may_be_the_text_of_history_csv():
    history = list_epochs({fold: [5, *range(12, 1, -1)] for fold in range(10)})  # twelve epochs: "10" sorts before "2"
    text = [{key: str(value) for key, value in row.items()} for row in history]
    for drawn in (run_figures._draw_fold_curves(rows, [0.9] * 10, "").axes[0] for rows in (history, text)):
        lines, _ = read_lines(drawn)
        assert len(lines) == 10 and [x for x, _ in lines[9]] == list(range(1, 13)) and lines[9][-1] == [12, 2]


def test_the_first_epochs_flatten_nothing_and_are_named_where_they_are_not_shown():
    losses = [100, 5, *np.linspace(2, 1, 14)]
    loss, accuracy = run_figures._draw_fold_curves(list_epochs({0: losses, 1: losses}), [0.5, 0.95], "").axes
    low, high = loss.get_ylim()
    assert low < 1 < 1.8 < high < 2
    assert "up to epoch 4 " in loss.get_xlabel()
    assert accuracy.get_ylim()[0] < 0.5  # a fold that failed on its held-out rows stays in sight


@pytest.mark.parametrize("epochs", [1, 3])
def test_short_runs_are_shown_whole(epochs):
    losses = [100, 5, 2][:epochs]
    for axes in run_figures._draw_fold_curves(list_epochs({0: losses}), [0.99], "").axes:
        low, high = axes.get_ylim()
        assert all(low < y < high for line in read_lines(axes)[0] for _, y in line)
        assert axes.get_xlabel() == "epoch" and " to " not in axes.get_title()  # one fold spans nothing
        ticks = [x for x in axes.get_xticks() if axes.get_xlim()[0] <= x <= axes.get_xlim()[1]]
        assert ticks == list(range(1, epochs + 1))


def test_as_many_accuracies_as_folds_are_needed():
    with pytest.raises(ValueError):
        run_figures._draw_fold_curves(list_epochs({0: [2, 1], 1: [2, 1]}), [0.9], "")


def test_confusion_has_labels_as_rows_and_writes_each_count_that_is_not_zero():
    labels = np.array([4] * 1200 + [4, 4, 4, 9])
    predictions = np.array([4] * 1200 + [9, 9, 7, 4])
    (axes,) = run_figures._draw_confusion(labels, predictions).axes
    assert read_cells(axes) == {(4, 4): "1,200", (4, 9): "2", (4, 7): "1", (9, 4): "1"}
    assert axes.get_title() == "errors: 4 of 1,204 rows"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("prediction", "label")


def test_colour_follows_the_errors_and_leaves_the_diagonal_grey():
    labels, predictions = np.array([4] * 1200 + [4, 4, 9]), np.array([4] * 1200 + [9, 9, 4])
    (axes,) = run_figures._draw_confusion(labels, predictions).axes
    picture = axes.images[0]
    colours = picture.cmap(picture.norm(picture.get_array()))[..., :3]
    assert (np.ptp(colours[np.eye(10, dtype=bool)], axis=1) == 0).all()
    assert np.ptp(colours[4, 9]) > np.ptp(colours[9, 4]) > np.ptp(colours[0, 1]) == 0
    assert colours[0, 1].min() == 1


def test_a_run_without_errors_can_be_drawn():
    (axes,) = run_figures._draw_confusion(LABELS, LABELS).axes
    assert axes.get_title() == "errors: 0 of 12 rows"
    assert (3, 3) not in read_cells(axes) and read_cells(axes)[4, 4] == "3"


def test_hardest_rows_come_in_the_order_of_their_labels_probability():
    probabilities = give_own([3, 4, 5, 6, 7], [0.5, 0.1, 0.9, 0.1, 0.0])
    found = find_hardest(np.array([3, 4, 5, 6, 7]), probabilities, 4)
    assert found.tolist() == [4, 1, 3, 0] and found.dtype == np.int64  # 1 before 3: equals keep their order


def test_rows_never_held_out_are_not_among_the_hardest():
    labels = np.array([3, 4, 5, 6])
    probabilities = give_own(labels, [0.5, 0.1, 0.9, 0.2])
    probabilities[1] = NAN
    assert find_hardest(labels, probabilities, 40).tolist() == [3, 0, 2]
    assert find_hardest(labels, np.tile(NAN, (4, 1)), 40).tolist() == []


def test_hardest_rows_are_drawn_with_label_reading_and_probability():
    probabilities = give_own(LABELS, np.linspace(0.1, 0.65, 12))
    probabilities[0] = NAN
    figure = hard_rows._draw_hardest(IMAGES, LABELS, probabilities, 3)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == [
        "label 1,\nread 2 (0.64)",  # 0.75 of what the label leaves
        "label 1,\nread 2 (0.60)",
        "label 2,\nread 3 (0.56)",
    ]
    sheet = np.asarray(axes.images[0].get_array())
    for text, row in zip(axes.texts, (1, 2, 3), strict=True):
        middle, above = text.get_position()
        top, left = round(above) + 1, round(middle) - 14
        assert np.array_equal(sheet[top : top + 28, left : left + 28], IMAGES[row, ..., 0])
    assert "3 hardest of 11 held-out rows" in figure.get_suptitle()


def test_the_confidently_wrong_are_misread_rows_in_the_order_of_what_was_read():
    labels = np.array([3, 4, 5, 6, 7])
    probabilities = give_own(labels, [0.9, 0.2, 0.1, 0.3, 0.0])
    probabilities[4] = NAN
    assert find_confidently_wrong(labels, probabilities, 40).tolist() == [2, 1, 3]  # 0 is right, 4 was never held out
    assert find_confidently_wrong(labels, probabilities, 1).tolist() == [2]
    assert find_confidently_wrong(labels, give_own(labels, np.ones(5)), 40).tolist() == []


def test_a_row_may_be_hard_and_yet_not_confidently_wrong():
    labels = np.array([0, 0])
    spread = np.array([[0.05, *[0.95 / 9] * 9], [0.08, 0.92, *[0] * 8]], np.float32)
    assert find_hardest(labels, spread, 1).tolist() == [0]
    assert find_confidently_wrong(labels, spread, 1).tolist() == [1]
    figure = hard_rows._draw_confidently_wrong(IMAGES[:2], labels, spread, 40)
    assert figure.axes[0].texts[0].get_text() == "label 0,\nread 1 (0.92)"
    assert "the 2 rows misread" in figure.get_suptitle()


def draw_all(folder):
    probabilities = give_own(LABELS, np.linspace(0.1, 0.9, 12))
    run_figures.plot_class_counts(LABELS, folder / "counts.png")
    run_figures.plot_samples(IMAGES, LABELS, folder / "samples.png", columns=3)
    run_figures.plot_fold_curves(list_epochs({0: [3, 2], 1: [3, 1]}), [0.8, 0.9], folder / "curves.png", "a run")
    run_figures.plot_confusion(LABELS, probabilities.argmax(axis=1), folder / "confusion.png")
    hard_rows.plot_hardest(IMAGES, LABELS, probabilities, folder / "hardest.png", count=2)
    hard_rows.plot_confidently_wrong(IMAGES, LABELS, probabilities, folder / "wrong.png", count=12)


def test_every_figure_is_a_png_that_takes_the_place_of_an_older_one(tmp_path):
    from matplotlib.image import imread

    names = {"counts.png", "samples.png", "curves.png", "confusion.png", "hardest.png", "wrong.png"}
    for name in names:
        (tmp_path / name).write_bytes(b"older, and longer than any figure" * 10_000)
    draw_all(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == names  # and no temporary file
    sizes = {name: imread(tmp_path / name).shape[1::-1] for name in names}
    assert sizes == {
        "counts.png": (960, 528),
        "samples.png": (276, 720),
        "curves.png": (1200, 552),
        "confusion.png": (840, 840),
        "hardest.png": (1440, 240),
        "wrong.png": (1440, 240),
    }
    for name in names:
        assert imread(tmp_path / name)[..., :3].std() > 0.05  # not a blank page
        assert b"older" not in (tmp_path / name).read_bytes()


def test_a_figure_that_cannot_be_finished_leaves_the_older_one(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    def fail(self, path, **options):
        path.write_bytes(b"half a figure")
        raise RuntimeError

    (tmp_path / "counts.png").write_bytes(b"older")
    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(RuntimeError):
        run_figures.plot_class_counts(LABELS, tmp_path / "counts.png")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"older"]
