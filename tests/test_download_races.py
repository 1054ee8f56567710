"""Several downloads into one folder."""

import contextlib
import threading

from image_sets import draw_image_set, write_idx_folder

from digit_recognizer.data.sources import download
from digit_recognizer.errors import InputError


def test_of_two_downloads_at_once_one_is_refused_and_the_sets_do_not_mix(tmp_path):
    sources = [tmp_path / "one", tmp_path / "other"]
    for seed, source in enumerate(sources):
        download(str(write_idx_folder(tmp_path / f"idx{seed}", draw_image_set(seed))), source)
    for turn in range(10):
        target, won = tmp_path / f"target{turn}", []

        def fetch(source, target=target, won=won):
            with contextlib.suppress(InputError):
                download(str(source), target)
                won.append(source)

        threads = [threading.Thread(target=fetch, args=(source,)) for source in sources]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert all((target / file.name).read_bytes() == file.read_bytes() for file in won[0].iterdir())
