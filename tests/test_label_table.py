import pytest

from digit_recognizer.data.tables import load_label_table
from digit_recognizer.errors import InputError


def write(folder, text):
    path = folder / "test_labels.csv"
    path.write_bytes(text.encode())
    return path


def test_test_labels_are_read_in_order(tmp_path):
    path = write(tmp_path, "ImageId,Label\r\n1,7\r\n2,0\r\n\r\n3,9\r\n")
    assert load_label_table(path).labels.tolist() == [7, 0, 9]


BAD_LABEL_FILES = {
    "Id,Label\n1,2\n": "ImageId,Label",
    "": "ImageId,Label",
    "ImageId,Label\n": "header only",
    "ImageId,Label\n1,2\n3,4\n": "line 3, column ImageId",
    "ImageId,Label\n1,2\n1,4\n": "line 3, column ImageId",
    "ImageId,Label\n1,10\n": "line 2, column Label",
    "ImageId,Label\n1,2.0\n": "line 2, column Label",
    "ImageId,Label\n1,\n": "line 2, column Label",
    "ImageId,Label\n1,2,3\n": "line 2",
}


@pytest.mark.parametrize("text", BAD_LABEL_FILES)
def test_bad_test_labels_are_refused_in_one_line(tmp_path, text):
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_label_table(path)
    message = str(caught.value)
    assert BAD_LABEL_FILES[text] in message
    assert str(path) in message
    assert "\n" not in message
