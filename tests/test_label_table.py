import pytest

from digit_recognizer.data import tables
from digit_recognizer.data.tables import load_labels
from digit_recognizer.errors import InputError


def write(folder, text):
    path = folder / "test_labels.csv"
    path.write_bytes(text.encode())
    return path


def test_test_labels_are_read_in_order(tmp_path):
    path = write(tmp_path, "ImageId,Label\r\n1,7\r\n2,0\r\n\r\n3,9\r\n")
    assert load_labels(path).tolist() == [7, 0, 9]


def test_blank_lines_and_zeros_before_a_label_do_no_harm(tmp_path):
    path = write(tmp_path, '\n"ImageId","Label"\n1, 7\n\n2,0' + "0" * 5000 + "\n")
    assert load_labels(path).tolist() == [7, 0]


def test_a_table_of_labels_that_goes_on_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MOST_LABELS", 2)
    with pytest.raises(InputError, match="line 4: at most 2 rows are read"):
        load_labels(write(tmp_path, "ImageId,Label\n1,7\n2,0\n3,9\n"))
