"""Notebooks are executed as a user would, in Jupyter's kernel: twice in one kernel, whose event loop is running."""

import nbformat
import pytest
from nbclient import NotebookClient

from digit_recognizer.data.sources import download

CELLS = """
import digit_recognizer as dr, keras, pandas as pd
train, test = dr.load_train("input/train.csv"), dr.load_test("input/test.csv")
train.to_frame().head()
---
seen = []
curve = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["accuracy"]))
result = dr.cross_validate("narrow", train, test, folds=2, epochs=2, limit_train=300, precision="float32",
                           callbacks=[curve])
---
axes = result.history.pivot(index="epoch", columns="fold", values="accuracy").plot(title="narrow")
---
pd.crosstab(result.oof.label, result.oof.prediction)
---
result.write_submission("submission.csv", overwrite=True), len(seen)
---
from sklearn.model_selection import cross_val_score
classifier = dr.DigitClassifier("dense", epochs=1, precision="float32")
cross_val_score(classifier, train.images[:200], train.labels[:200], cv=2).shape
"""


@pytest.mark.slow
def test_ten_lines_of_a_notebook_run_twice_in_one_kernel(tmp_path, monkeypatch):
    download("sample", tmp_path / "input")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS.split("---\n") * 2]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    outputs = ["".join(map(show, cell.outputs)) for cell in notebook.cells]
    for first in (0, 6):
        head, trained, plotted, confusions, written, scored = outputs[first : first + 6]
        assert "pixel783" in head and "out-of-fold accuracy" in trained
        assert "<image/png>" in plotted and "prediction" in confusions
        assert "submission.csv'), 4)" in written and scored.endswith("(2,)")
    assert len(list((tmp_path / "runs").iterdir())) == 2
    rows = (tmp_path / "submission.csv").read_text().splitlines()
    assert rows[0] == "ImageId,Label" and len(rows) > 100


def show(output):
    """An output as text; of a figure, that there is one."""
    data = output.get("data", {})
    picture = "<image/png>" if "image/png" in data else ""
    return output.get("text", "") + picture + data.get("text/plain", "")
