"""What the shared figures show, read from their axes."""

import os
import subprocess
import sys

import numpy as np
import pytest

from digit_recognizer.evaluation.calibration import tabulate_calibration
from digit_recognizer.evaluation.metrics import count_confusions
from digit_recognizer.reporting import plots

RNG = np.random.default_rng(0)
LABELS = np.array([0, 1, 1, 2, 4, 4, 4, 5, 6, 7, 8, 9])  # no 3
IMAGES = RNG.integers(1, 256, (12, 28, 28, 1), dtype=np.uint8)  # no pixel is paper: gaps can be seen


AMBIENT = {
    "text.usetex": True,  # needs LaTeX
    "axes.facecolor": "black",
    "font.size": 30,
    "figure.dpi": 30,
    "savefig.bbox": "tight",
    "savefig.transparent": True,
    "axes.formatter.use_locale": True,
    "text.parse_math": False,
}


def test_a_matplotlibrc_or_a_notebooks_style_changes_no_figure(tmp_path):
    import matplotlib

    for name, style in (("plain.png", {}), ("ambient.png", AMBIENT)):
        with matplotlib.rc_context(style):
            plots.save_figure(plots.plot_class_counts(LABELS), tmp_path / name)
            assert all(matplotlib.rcParams[key] == value for key, value in style.items()), "the notebook keeps its own"
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "ambient.png").read_bytes()


def test_a_backend_and_a_matplotlibrc_that_cannot_be_read_are_ignored(tmp_path):
    (tmp_path / "rc").write_bytes(b"# caf\xe9\nfont.size: 12\n")
    ambient = {"MPLBACKEND": "module://no_such_module.backend", "MATPLOTLIBRC": str(tmp_path / "rc")}
    code = (
        "import os; from digit_recognizer.errors import require; require('matplotlib.figure', 'report').Figure(); "
        "print(os.environ['MPLBACKEND'], os.environ['MATPLOTLIBRC'])"
    )
    everything = {**os.environ, **ambient, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=everything, capture_output=True, text=True)
    assert done.stdout.split() == list(ambient.values())
    assert done.stderr.count("\n") == 1 and str(tmp_path / "rc") in done.stderr  # Matplotlib's own line


def test_a_matplotlibrc_of_the_current_folder_that_cannot_be_read_is_ignored(tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"# caf\xe9\n")
    code = "import os; from digit_recognizer.errors import import_matplotlib; import_matplotlib(); print(os.getcwd())"
    ambient = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    ambient.pop("MATPLOTLIBRC", None)
    done = subprocess.run([sys.executable, "-c", code], env=ambient, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == [str(tmp_path)] and done.stderr.count("\n") == 1, done.stderr


def list_epochs(losses_of_fold):
    return [
        {"fold": fold, "epoch": epoch, "loss": loss, "accuracy": 1 - loss / 10, "lr": 0.1}
        for fold, losses in losses_of_fold.items()
        for epoch, loss in enumerate(losses, 1)
    ]


def draw_folds(losses_of_fold, accuracies):
    return plots.plot_learning_curves(list_epochs(losses_of_fold), "a run", final_accuracies=accuracies)


def read_lines(axes):
    """The lines of a panel, as lists of (x, y), and the points of its markers."""
    lines = [line.get_xydata().tolist() for line in axes.lines if line.get_linestyle() != "None"]
    markers = [point for line in axes.lines if line.get_linestyle() == "None" for point in line.get_xydata().tolist()]
    return lines, markers


def read_cells(axes):
    return {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axes.texts}


def read_legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def draw_confusion(labels, predictions, **options):
    (axes,) = plots.plot_confusion_matrix(count_confusions(labels, predictions, 10), **options).axes
    return axes


def test_every_fold_has_a_line_in_both_panels_and_a_marker_at_its_last_epoch():
    error, loss = draw_folds({1: [4, 3], 0: [3, 2, 1]}, [0.75, 0.875]).axes
    assert read_lines(loss) == ([[[1, 3], [2, 2], [3, 1]], [[1, 4], [2, 3]]], [])
    lines, markers = read_lines(error)
    assert [[y for _, y in line] for line in lines] == [pytest.approx([0.3, 0.2, 0.1]), pytest.approx([0.4, 0.3])]
    assert markers == [[3, 0.25], [2, 0.125]]
    assert "0.7500 to 0.8750" in error.get_title() and "1.0000 to 3.0000" in loss.get_title()


def test_held_out_rows_measured_every_epoch_have_a_line():
    history = [{**row, "val_loss": row["loss"] + 1, "val_accuracy": 0.5} for row in list_epochs({0: [3, 2, 1]})]
    figure = plots.plot_learning_curves(history, "a run")
    error, loss = figure.axes
    assert [line[0] for line in read_lines(loss)[0]] == [[1, 3], [1, 4]]
    assert "0.5000" in error.get_title()
    assert read_legend(figure) == ["training set", "held out"]


def test_held_out_rows_are_drawn_and_no_validation_set():
    rows = [{**row, "val_loss": 9, "val_accuracy": 0.1} for row in list_epochs({0: [3, 2, 1]})]
    both = [{**row, "holdout_loss": row["loss"] + 1, "holdout_accuracy": 0.5} for row in rows]
    for axes, value in zip(plots.plot_learning_curves(both, "").axes, (0.5, 2), strict=True):
        assert read_lines(axes)[0][1][-1] == [3, value]
    error, loss = plots.plot_learning_curves(rows, "", final_accuracies=[0.75]).axes
    assert len(read_lines(loss)[0]) == 1 and read_lines(error)[1] == [[3, 0.25]]


def test_late_epochs_have_as_much_room_as_the_first():
    figure = draw_folds({0: [9, 0.9, 0.09, 0.009]}, [0.999])
    for axes in figure.axes:
        (line,) = read_lines(axes)[0]
        heights = axes.transData.transform(line)[:, 1]
        assert np.diff(heights) == pytest.approx(np.full(3, heights[1] - heights[0]), rel=1e-6)
    assert figure.axes[0].yaxis.get_major_formatter()(0.002, 0) == "0.2 %"


@pytest.mark.parametrize("accuracy", [1, 0.99])
def test_a_model_without_errors_can_be_drawn(accuracy):
    history = [{"fold": 0, "epoch": epoch, "loss": 0.5, "accuracy": 1} for epoch in (1, 2)]
    plots.plot_learning_curves(history, "", final_accuracies=[accuracy]).draw_without_rendering()


@pytest.mark.parametrize("epochs", [1, 3])
def test_short_runs_are_shown_whole(epochs):
    for axes in draw_folds({0: [9, 5, 2][:epochs]}, [0.99]).axes:
        low, high = axes.get_ylim()
        assert all(low < y < high for line in read_lines(axes)[0] for _, y in line)
        assert axes.get_xlabel() == "epoch" and " to " not in axes.get_title()  # one fold has no range
        ticks = [x for x in axes.get_xticks() if axes.get_xlim()[0] <= x <= axes.get_xlim()[1]]
        assert ticks == list(range(1, epochs + 1))


def test_as_many_accuracies_as_folds_are_needed():
    with pytest.raises(ValueError):
        draw_folds({0: [2, 1], 1: [2, 1]}, [0.9])


def test_each_configuration_has_a_panel_with_a_line_per_seed():
    history = [
        {"configuration": name, "seed": seed, "epoch": epoch, "accuracy": np.nan, "val_accuracy": base + epoch / 100}
        for name, base in (("lr 0.1", 0.8), ("lr 0.2", 0.85), ("lr 9", 0.86)) for seed in (0, 1) for epoch in (1, 2, 3)
    ]  # fmt: skip
    figure = plots.plot_learning_curves(history, "a sweep", plateaus={"lr 0.2": 2})
    first, second, third = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["lr 0.1", "lr 0.2", "lr 9"]
    assert [[y for _, y in line] for line in read_lines(first)[0]] == [pytest.approx([0.19, 0.18, 0.17])] * 2
    assert second.lines[-1].get_xdata() == [2, 2] and "no significant gain from here" in read_legend(figure)
    assert first.get_ylim() == third.get_ylim() and first.get_yscale() == "log"


def test_confusion_has_labels_as_rows_and_writes_each_count_that_is_not_zero():
    labels = np.array([4] * 1200 + [4, 4, 4, 9])
    axes = draw_confusion(labels, np.array([4] * 1200 + [9, 9, 7, 4]))
    assert read_cells(axes) == {(4, 4): "1,200", (4, 9): "2", (4, 7): "1", (9, 4): "1"}
    assert axes.get_title() == "errors: 4 of 1,204 rows"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("prediction", "label")


def test_a_mean_confusion_has_fractions():
    counts = np.diag([100.0] * 10)
    counts[4, 9], counts[3, 5] = 2.5, 12.25
    (axes,) = plots.plot_confusion_matrix(counts, unit="pictures", note=", mean over 2 seeds").axes
    assert (read_cells(axes)[4, 9], read_cells(axes)[3, 5]) == ("2.5", "12")
    assert axes.get_title() == "errors: 14.8 of 1,015 pictures, mean over 2 seeds"


def test_a_run_without_errors_can_be_drawn():
    axes = draw_confusion(LABELS, LABELS)
    assert axes.get_title() == "errors: 0 of 12 rows"
    assert (3, 3) not in read_cells(axes) and read_cells(axes)[4, 4] == "3"


def test_chosen_cells_are_framed():
    framed = np.zeros((10, 10), bool)
    framed[4, 9] = True
    (frame,) = draw_confusion(LABELS, LABELS, framed=framed).patches
    assert frame.get_xy() == (8.5, 3.5)


def test_of_many_classes_those_with_most_errors_are_shown():
    labels = np.arange(100).repeat(2)
    predictions = np.where(labels >= 90, (labels + 1) % 100, labels)
    counts = count_confusions(labels, predictions, 100)
    (axes,) = plots.plot_confusion_matrix(counts, [str(number) for number in range(100)], unit="pictures").axes
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert len(names) == 20 and {str(number) for number in (0, *range(90, 100))} <= set(names)
    assert "the 20 of 100 classes with most errors" in axes.get_title()


def test_long_class_names_are_cut_and_dollars_are_no_formula():
    names = ("alpha", "a class of many letters", "$c$")
    (axes,) = plots.plot_confusion_matrix(np.eye(3, dtype=int), names).axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["alpha", "a class of ma…", "$c$"]


@pytest.mark.parametrize("title", [r"cost $\price$: curves", "$", r"$x^{$ \$", "a byte \udcff that is no text"])
def test_no_title_is_a_formula_and_every_one_can_be_drawn(title, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "DPI", 20)  # quickly
    figure = plots.open_figure(2, 2)
    axes = figure.subplots()
    axes.set_title(title)
    axes.set_xticks([0], ["$x^{$"])
    plots.save_figure(figure, tmp_path / "drawn.png")
    assert axes.title.get_text() == title.encode(errors="backslashreplace").decode()
    assert not axes.title.get_parse_math()


def test_precision_and_recall_have_a_mark_each_and_nan_has_none():
    precision, recall = np.full(10, 0.9), np.full(10, 0.95)
    precision[3] = np.nan
    (axes,) = plots.plot_class_scores(precision, recall).axes
    drawn = {line.get_label().split(":")[0]: line.get_xdata() for line in axes.lines}
    assert np.array_equal(drawn["recall"], recall) and np.array_equal(drawn["precision"], precision, equal_nan=True)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list("0123456789") and axes.yaxis_inverted()


def test_calibration_has_a_point_and_a_bar_for_each_bin():
    probabilities = np.array([[0.95, 0.05]] * 4 + [[0.4, 0.6]] * 2)
    table = tabulate_calibration(probabilities, np.array([0, 0, 0, 1, 1, 1]))
    upper, lower = plots.plot_calibration(table).axes
    (points,) = upper.containers
    assert points.lines[0].get_xydata() == pytest.approx(np.array([[0.6, 1], [0.95, 0.75]]))
    assert [bar.get_height() for bar in lower.patches] == [2, 4]
    low, high = points.lines[2][0].get_segments()[1][:, 1]
    assert 0 < low < 0.75 < high < 1  # four rows leave much open


def test_shares_of_classes_stand_beside_one_another():
    (axes,) = plots.plot_class_shares(np.array([0, 0, 1, 9]), np.array([1, 1])).axes
    heights = [bar.get_height() for bar in axes.patches]
    assert heights[:10] == [0.5, 0.25, *[0] * 7, 0.25] and heights[10:] == [0, 1, *[0] * 8]


def test_shared_errors_are_written_in_their_cells():
    (axes,) = plots.plot_shared_errors(np.array([[12, 3], [3, 1200]]), ["one", "another"]).axes
    assert read_cells(axes) == {(0, 0): "12", (0, 1): "3", (1, 0): "3", (1, 1): "1,200"}


def test_each_class_has_a_bar_with_its_count_even_where_there_is_none():
    (axes,) = plots.plot_class_counts(np.repeat(LABELS[:-1], 400)).axes
    counts = [400, 800, 400, 0, 1200, 400, 400, 400, 400, 0]
    assert [bar.get_height() for bar in axes.patches] == counts
    assert [text.get_text() for text in axes.texts] == [f"{count:,}" for count in counts]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == list("0123456789")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("digit", "rows of train.csv")


def test_samples_are_the_first_of_each_class_in_a_row_named_after_it():
    (axes,) = plots.plot_samples(np.tile(IMAGES, (5, 1, 1, 1)), np.tile(LABELS, 5)).axes
    sheet = np.asarray(axes.images[0].get_array())
    assert sheet.shape == (280, 336)
    cells = sheet.reshape(10, 28, 12, 28).swapaxes(1, 2)
    assert np.array_equal(cells[4], IMAGES[[4, 5, 6] * 4, ..., 0])  # of fifteen
    assert np.array_equal(cells[9, 4], IMAGES[11, ..., 0]) and not cells[9, 5].any()  # it has five
    assert not cells[3].any()
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list("0123456789")
    assert [int(y // 28) for y in axes.get_yticks()] == list(range(10))


def test_tiles_lie_where_their_corners_are():
    pictures = np.arange(1, 31, dtype=float).reshape(5, 2, 3)
    sheet, corners = plots.tile(pictures, 2, above=1, right=2, ground=np.nan)
    assert sheet.shape == (9, 10)
    for (x, y), picture in zip(corners, pictures, strict=True):
        assert np.array_equal(sheet[y : y + 2, x : x + 3], picture)
    assert np.isnan(sheet).sum() == sheet.size - pictures.size


def test_colours_are_white_at_zero_and_dark_at_both_ends():
    signed, positive = plots.choose_colours(np.array([-1.0, 4.0])), plots.choose_colours(np.array([0.0, 4.0]))
    assert (signed.norm(0), signed.norm(4), positive.norm(0), positive.norm(4)) == (0.5, 1, 0, 1)
    assert signed.cmap(0.5)[:3] == pytest.approx((1, 1, 1), abs=0.01) and positive.cmap(0.0)[:3] == (1, 1, 1)
    below, above, alone = (
        colours.cmap(np.linspace(*ends, 20))[:, :3] @ (0.2126, 0.7152, 0.0722)
        for colours, ends in ((signed, (0.5, 0)), (signed, (0.5, 1)), (positive, (0, 1)))
    )
    for lightness in (below, above, alone):  # the further from zero, the darker
        assert (np.diff(lightness) < 0).all() and lightness[-1] < 0.2
    assert plots.choose_colours(np.zeros(3)).norm(0) == 0


def test_a_contact_sheet_has_its_words_above_each_image():
    figure = plots.plot_contact_sheet(IMAGES[..., 0], ["12,345\n4 → 9"] * 12, "digits")
    (axes,) = figure.axes
    sheet = np.asarray(axes.images[0].get_array())
    assert sheet.shape[1] == 5 * 36, "five to a row, where there is room"
    for text, image in zip(axes.texts, IMAGES, strict=True):
        middle, above = text.get_position()
        top, left = round(above) + 1, round(middle) - 14
        assert np.array_equal(sheet[top : top + 28, left : left + 28], image[..., 0])


def test_words_above_an_image_name_the_label_only_where_it_is_another():
    assert plots.label_image("row 1", "0123456789", 9, 0.987, 4) == "row 1\n4 → 9, 0.99"
    assert plots.label_image("row 1", "0123456789", 4, 0.5, 4) == "row 1\n4, 0.50"
    assert plots.label_image("row 1", ["Bag", "Sandal"], 1, label=0) == "row 1\nBag\n→ Sandal"


def test_a_figure_that_cannot_be_finished_leaves_the_older_one(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    def fail(self, path, **options):
        path.write_bytes(b"half a figure")
        raise RuntimeError

    figure, path = plots.plot_class_counts(LABELS), tmp_path / "counts.png"
    plots.save_figure(figure, path)
    older = path.read_bytes()
    assert older.startswith(b"\x89PNG")
    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(RuntimeError):
        plots.save_figure(figure, path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [older]
