"""The app: what its server answers to friends and strangers, and its page in a real browser."""

import asyncio
import contextlib
import io
import json
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import windows_rules
from browser import Browser, find_browser
from conftest import expect_error
from PIL import Image, ImageDraw
from starlette.testclient import TestClient

from digit_recognizer.app import server
from digit_recognizer.app.__main__ import main
from digit_recognizer.app.server import build_app, build_server, open_socket
from digit_recognizer.data.labels import FASHION
from digit_recognizer.vision.class_folders import find_classes, load_pictures
from digit_recognizer.vision.segment import load_letter

SEVEN = [[(0.3, 0.2), (0.6, 0.2), (0.45, 0.8)]]  # strokes, as shares of the paper
ONE = [[(0.8, 0.2), (0.8, 0.8)]]


def draw(*strokes, size=(720, 480), form="PNG", **options):
    picture = Image.new("L", size, "white")
    for stroke in strokes:
        points = [(x * size[0], y * size[1]) for x, y in stroke]
        ImageDraw.Draw(picture).line(points, fill=17, width=24, joint="curve")
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run_templates):
    """A folder with `runs`: a finished one, a better one and a stopped one; never write to it."""
    folder = tmp_path_factory.mktemp("app")
    for name in ("whole", "run"):
        shutil.copytree(run_templates / name, folder / "runs" / name)
    shutil.copytree(run_templates / "whole", folder / "runs" / "other")
    path = folder / "runs" / "other" / "oof_probabilities.npy"
    oof, labels = np.roll(np.load(path), 1, axis=1), np.load(path.with_name("labels.npy"))
    oof[::2] = np.eye(10)[labels[::2]]  # better than any that is trained for so few steps, and not all right
    np.save(path, oof)
    return folder


@pytest.fixture(scope="module")
def client(folder):
    with TestClient(build_app(folder / "runs", folder / "kept"), "http://localhost", False) as client:
        yield client


def test_a_drawing_is_read_with_boxes_images_and_probabilities(client):
    answer = client.post("/api/read", content=draw(*SEVEN, *ONE)).json()
    assert answer["text"] == "7 1" and len(answer["names"]) == 11
    seven, one = answer["glyphs"]
    assert seven["box"][0] < 216 < 432 < seven["box"][0] + seven["box"][2] < one["box"][0]
    assert sum(seven["probabilities"]) == pytest.approx(1, abs=0.01) and seven["probabilities"][7] > 0.9
    assert answer["notes"] == []


def test_a_picture_is_received_and_kept_under_windows_rules(client, folder, monkeypatch):
    assert client.post("/api/read", content=draw(*SEVEN)).json()["text"] == "7"  # all is loaded
    windows_rules.apply(monkeypatch)
    assert client.post("/api/read", content=draw(*SEVEN)).json()["text"] == "7"
    kept = client.post("/api/collect?label=windows", content=draw(*SEVEN)).json()["kept"]
    assert [path.name for path in (folder / "kept" / "windows").iterdir()] == [Path(kept).name]


def test_blank_paper_and_a_run_of_ones_own_are_read_as_well(client):
    assert client.post("/api/read", content=draw()).json()["glyphs"] == []
    answer = client.post("/api/read?classifier=whole", content=draw(*SEVEN)).json()
    assert len(answer["glyphs"]) == 1 and answer["names"][-1] == "no digit"
    start = client.get("/api/start").json()
    assert start["classifiers"] == [server.PACKAGED, "other", "whole"] and start["collect"].endswith("kept")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no picture", "The picture"),
        (b"", "The picture"),
        (draw(*SEVEN)[:300], "The picture"),
        (draw(size=(9000, 7000)), "megapixels"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * (1 << 24), "16 MB"),
        (b"<svg onload='alert(1)'></svg>", "SVG"),
    ],
    ids=["text", "nothing", "cut off", "a bomb", "too large", "SVG"],
)
def test_a_hostile_upload_is_refused_in_one_line(client, content, says):
    answer = client.post("/api/read", content=content)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert says in error and "tmp" not in error and "\n" not in error


def test_what_does_not_exist_or_is_not_asked_for_properly_is_refused(client):
    assert client.post("/api/read?classifier=../secret", content=draw(*SEVEN)).status_code == 422
    assert client.get("/api/run?name=..").status_code == client.get("/api/run?name=").status_code == 422
    assert client.get("/api/nothing").status_code == 404
    assert client.get("/../setup.cfg").status_code == 404
    assert client.post("/api/occlusion", content=b"12").status_code == 422


def test_another_site_and_another_host_are_refused(client):
    assert client.post("/api/read", content=draw(), headers={"sec-fetch-site": "cross-site"}).status_code == 403
    for headers in ({"sec-fetch-site": "same-site"}, {"origin": "http://localhost.evil.example"}, {"origin": "null"}):
        assert client.get("/api/runs", headers=headers).status_code == 403
    for headers in ({"sec-fetch-site": "same-origin"}, {"origin": "http://localhost"}, {}):
        assert client.get("/api/runs", headers=headers).status_code == 200
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    page = client.get("/")
    assert "default-src 'self'" in page.headers["content-security-policy"] and "http" not in page.text


def test_what_the_model_looked_at_is_where_the_ink_is(client):
    glyph = client.post("/api/read", content=draw(*SEVEN)).json()["glyphs"][0]
    import base64

    pixels = base64.b64decode(glyph["image"])
    drops = np.array(client.post("/api/occlusion", content=pixels).json()["drops"]).reshape(28, 28)
    ink = np.frombuffer(pixels, np.uint8).reshape(28, 28) > 100
    assert drops[ink].mean() > drops[~ink].mean() and np.abs(drops[:3]).max() < 0.01


def test_runs_are_listed_shown_and_compared(client, folder):
    listed = {row["name"]: row for row in client.get("/api/runs").json()}
    assert listed["whole"]["state"] == "finished" and "--resume" in listed["run"]["resume"]
    run = client.get("/api/run?name=whole").json()
    rows = np.array(run["confusions"]).sum()
    assert rows == listed["whole"]["rows"] and len(run["hardest"]) == server.SHOWN_ROWS
    assert {row["epoch"] for row in run["history"]} == {1, 2}
    assert all(1 <= row["row"] <= rows for row in run["hardest"])
    found = client.get("/api/compare?one=whole&other=other").json()
    assert "whole" in found["text"] and len(found["only"]) == 2
    assert str(folder) not in found["text"]
    assert client.get("/api/compare?one=whole&other=whole").status_code == 422


def test_a_run_on_clothes_reads_no_pictures(client, folder):
    path = shutil.copytree(folder / "runs" / "whole", folder / "runs" / "clothes")
    metrics = json.loads((path / "metrics.json").read_text())
    (path / "metrics.json").write_text(json.dumps({**metrics, "classes": FASHION.to_json()}))
    assert "clothes" not in client.get("/api/start").json()["classifiers"]
    (path / "metrics.json").write_text(json.dumps({**metrics, "classes": {"names": [1]}}))
    assert client.get("/api/start").json()["classifiers"].count("whole") == 1
    shutil.rmtree(path)


def test_of_a_transfer_its_confusions_are_shown(client, folder):
    path = folder / "runs" / "letters"
    path.mkdir()
    metrics = {"classes": ["alpha", "beta"], "base": {"model": "dense", "model_args": [], "precision": "float32"}}
    metrics |= {"preprocess": "none", "neighbours": 3, "recommended": "model"}
    (path / "config.json").write_text(json.dumps({"subcommand": "transfer"}))
    (path / "metrics.json").write_text(json.dumps(metrics))
    lines = ["file,label,predicted,probability,sha256"]
    lines += ["1.png,alpha,alpha,0.9,x", "2.png,alpha,beta,0.9,y", "3.png,beta,beta,0.9,z"]
    (path / "predictions.csv").write_text("\n".join(lines) + "\n")
    run = client.get("/api/run?name=letters").json()
    assert run["confusions"] == [[1, 1], [0, 1]] and run["accuracy"] == pytest.approx(2 / 3)
    assert client.get("/api/compare?one=letters&other=whole").status_code == 422
    (path / "predictions.csv").write_text("\n".join([*lines, "4.png,alpha,delta,0.9,w"]) + "\n")
    assert client.get("/api/run?name=letters").status_code == 422
    (path / "metrics.json").write_text(json.dumps({**metrics, "classes": ["+", "="]}))  # which a table must guard
    table = "\n".join(lines).replace("alpha", "'+").replace("beta", "'=")
    (path / "predictions.csv").write_text(f"{table}\n")
    assert client.get("/api/run?name=letters").json()["confusions"] == [[1, 1], [0, 1]]
    shutil.rmtree(path)


def test_labelled_drawings_are_kept_as_a_folder_per_class(client, folder):
    kept = client.post("/api/collect?label=7", content=draw(*SEVEN, form="JPEG")).json()["kept"]
    (picture,) = (folder / "kept" / "7").iterdir()
    assert kept == str(picture) and picture.read_bytes().startswith(b"\x89PNG")
    for label in ("", " ", "../up", ".hidden", "Thumbs.db", "a/b", "x" * 40, "a\nb", "a\0", "\u202eb"):
        assert client.post("/api/collect", params={"label": label}, content=draw()).status_code == 422
    assert client.post("/api/collect?label=8", content=b"no picture").status_code == 422
    assert {path.name for path in (folder / "kept").iterdir()} <= {"7", "windows"}  # of the test above


def test_what_is_kept_is_what_transfer_takes(client, folder):
    for label, strokes in (("seven", SEVEN), ("one", ONE)):
        for size in ((720, 480), (1440, 960)):
            content = draw(*strokes, size=size)
            assert client.post("/api/collect", params={"label": label}, content=content).status_code == 200
    images = folder / "images"
    images.mkdir()
    for label in ("seven", "one"):
        (folder / "kept" / label).rename(images / label)
    found = load_pictures(find_classes(images, "--images"), load_letter, "letters")
    assert found.counts == {"one": 2, "seven": 2} and found.images.shape == (4, 28, 28, 1)
    assert found.images.max(axis=(1, 2, 3)).min() > 200


def test_who_sends_the_same_drawing_at_once_gets_a_file_each(client, folder):
    def keep(_):
        return client.post("/api/collect?label= 5 ", content=draw(*SEVEN)).json()["kept"]

    with ThreadPoolExecutor(4) as pool:
        kept = list(pool.map(keep, range(8)))
    assert sorted(kept) == sorted(map(str, (folder / "kept" / "5").iterdir())) and len(set(kept)) == 8
    shutil.rmtree(folder / "kept" / "5")


def test_a_run_folder_that_is_damaged_linked_or_gone_is_one_line(client, folder):
    assert client.get("/api/run?name=run").status_code == 422  # not finished
    half = folder / "runs" / "half"
    shutil.copytree(folder / "runs" / "whole", half)
    (half / "oof_probabilities.npy").write_bytes(b"\x93NUMPY")
    (half / "models").rename(half / "gone")
    for path in ("/api/run?name=half", "/api/compare?one=half&other=whole"):
        answer = client.get(path)
        assert answer.status_code == 422 and "\n" not in answer.json()["error"]
    assert client.post("/api/read?classifier=half", content=draw(*SEVEN)).status_code == 422
    shutil.rmtree(half)
    half.symlink_to(folder / "nothing")
    for name in ("half", "gone", "../runs/whole", "/", "whole/models", ".", "a\0b"):
        assert client.get("/api/run", params={"name": name}).status_code == 422
    half.unlink()


def test_a_defect_is_told_as_json_and_a_visitor_who_leaves_is_no_defect(client, monkeypatch):
    def fail(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(server, "runs", fail)
    answer = client.get("/api/runs")
    assert answer.status_code == 500 and "Permission denied" in answer.json()["error"]

    sent = []

    async def leave():
        return {"type": "http.disconnect"}

    async def keep(message):
        sent.append(message)

    headers = [(b"host", b"localhost")]
    scope = {"type": "http", "method": "POST", "path": "/api/read", "query_string": b"", "headers": headers}
    asyncio.run(client.app(scope, leave, keep))
    assert sent[0]["status"] == 400


def test_a_small_batch_has_the_same_probabilities_as_a_whole_one():
    class Model:
        def __init__(self):
            self.sizes = []

        def predict_on_batch(self, batch):
            self.sizes.append(len(batch))
            return batch.mean(axis=(1, 2))

    model = Model()
    one_at_a_time = server._OneAtATime(model, threading.Lock())
    batch = np.zeros((64, 28, 28, 1), np.float32)
    for filled in ([], [0, 3], [7], [63]):
        batch[filled] = np.random.default_rng(0).random((len(filled), 28, 28, 1), np.float32)
        np.testing.assert_array_equal(one_at_a_time.predict_on_batch(batch), batch.mean(axis=(1, 2)))
    assert model.sizes == [8, 8, 64, 64]


def test_nothing_is_kept_unless_asked_for(folder):
    with TestClient(build_app(folder / "nowhere"), "http://localhost") as client:
        assert client.post("/api/collect?label=7", content=draw(*SEVEN)).status_code == 422
        assert client.get("/api/start").json() == {"classifiers": [server.PACKAGED], "collect": None}
        assert client.get("/api/runs").json() == []


def test_a_port_that_is_taken_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with expect_error("app.address", received=f"127.0.0.1:{port}"):
            main(["--port", str(port), "--debug"])
    with expect_error("io.missing", path="elsewhere"):
        main(["--runs", "elsewhere", "--debug"])
    with expect_error("config.out_of_range", column="--port"):
        main(["--port", "70000", "--debug"])


@pytest.mark.parametrize(("own", "shown"), [("192.0.2.7", "http://192.0.2.7:"), (None, "this machine's address")])
def test_a_host_for_everybody_names_the_address_that_others_type(own, shown, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(server, "find_own_address", lambda: own)
    monkeypatch.setattr(server, "build_server", lambda app: SimpleNamespace(run=lambda sockets: sockets[0].close()))
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    main(["--host", "0.0.0.0", "--port", str(port), "--no-browser", "--collect", "letters", "--debug"])
    printed = capsys.readouterr().out
    assert shown in printed and str(tmp_path / "letters") in printed


# In a browser, and other programs that connect

DRAW = """(async () => {
  const paper = document.getElementById('drawing'), place = paper.getBoundingClientRect()
  paper.setPointerCapture = () => {}
  const send = (kind, [x, y]) => paper.dispatchEvent(new PointerEvent(kind, {pointerId: 1, button: 0, bubbles: true,
    clientX: place.left + x * place.width, clientY: place.top + y * place.height}))
  for (const stroke of STROKES) {
    send('pointerdown', stroke[0])
    stroke.slice(1).forEach((point) => send('pointermove', point))
    send('pointerup', stroke.at(-1))
  }
})()"""


@pytest.fixture(scope="module")
def address(folder):
    """The app, listening."""
    listening = open_socket("127.0.0.1", 0)
    serving = build_server(build_app(folder / "runs", folder / "kept"))
    thread = threading.Thread(target=serving.run, args=([listening],), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    serving.should_exit = True
    thread.join(10)


def wait_for(browser, script, wanted, seconds=60):
    until = time.monotonic() + seconds
    while (found := browser.run(script)) != wanted:
        assert time.monotonic() < until, f"{script} is {found!r}, not {wanted!r}"
        time.sleep(0.05)


def connect(address):
    return socket.create_connection(("127.0.0.1", int(address.rstrip("/").rpartition(":")[2])), timeout=20)


def test_answers_do_not_wait_for_the_next_packet_and_idle_connections_are_closed(address, monkeypatch):
    monkeypatch.setattr(server, "MAX_SECONDS", 0.3)
    with open_socket("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP  # by which asyncio knows where to set TCP_NODELAY
    with connect(address) as silent, connect(address) as asking:
        silent.sendall(b"GET / HTTP/1.1\r\n")
        asking.sendall(b"GET /app.css HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert silent.recv(100) == b""
        assert asking.recv(100).startswith(b"HTTP/1.1 200")


def test_a_picture_whose_sender_left_while_it_waited_is_not_read(address, monkeypatch):
    begun, go_on, read = threading.Semaphore(0), threading.Event(), []

    def wait(self, path, name):
        read.append(path)
        begun.release()
        assert go_on.wait(20)
        return {"text": "7"}

    monkeypatch.setattr(server._Server, "_read", wait)
    picture = draw([(300, 100), (300, 400)])
    head = f"POST /api/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(connect(address)) for _ in range(4)]
        for visitor in first:  # as many as are read at once
            visitor.sendall(head + picture)
            assert begun.acquire(timeout=20)
        leaving = stack.enter_context(connect(address))
        leaving.sendall(head + picture)
        staying = stack.enter_context(connect(address))
        staying.sendall(head + picture)
        time.sleep(0.3)
        leaving.close()
        time.sleep(0.3)
        go_on.set()
        for visitor in (*first, staying):
            assert visitor.recv(100).startswith(b"HTTP/1.1 200")
    assert len(read) == 5


def test_a_server_that_ends_while_it_works_prints_no_traceback(monkeypatch, capsys):
    begun = threading.Event()

    async def work(scope, receive, send):
        if scope["type"] == "http":
            begun.set()
            await asyncio.sleep(60)

    monkeypatch.setattr(server, "END_SECONDS", 1)
    listening = open_socket("127.0.0.1", 0)
    serving = build_server(work)
    thread = threading.Thread(target=serving.run, args=([listening],), daemon=True)
    thread.start()
    with connect(f"http://127.0.0.1:{listening.getsockname()[1]}") as visitor:
        visitor.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert begun.wait(20)
        serving.should_exit = True
        thread.join(20)
    assert not thread.is_alive()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(find_browser() is None, reason="there is no Chromium")
def test_the_page_reads_what_is_drawn_typed_and_uploaded_and_shows_runs(address, tmp_path):
    text = "document.getElementById('answer').textContent"
    with Browser(tmp_path / "profile") as browser:
        browser.call("Network.enable")
        browser.open(address, 390)
        wait_for(browser, "document.querySelectorAll('#classifier option').length", 3)
        assert browser.run("document.documentElement.scrollWidth <= 390")
        browser.run("HTMLCanvasElement.prototype.toBlob = () => {}")  # which lets a drawing wait for an idle browser
        browser.run(DRAW.replace("STROKES", json.dumps(SEVEN)))
        wait_for(browser, text, "7")
        assert browser.run("document.querySelector('#bars .best').firstChild.textContent") == "7"
        wait_for(browser, "document.getElementById('spoken').textContent.split(',')[0]", "7")
        browser.run(DRAW.replace("STROKES", json.dumps(ONE)))
        wait_for(browser, text, "7 1")
        assert (
            browser.run("document.querySelector('#bars .best').firstChild.textContent") == "1"
        )  # the one under the pen
        browser.run("document.querySelector('#glyphs button').click()")
        assert browser.run("document.querySelector('#bars .best').firstChild.textContent") == "7"
        assert browser.run("document.activeElement === document.querySelector('#glyphs button')")
        browser.run("document.getElementById('undo').click()")
        wait_for(browser, text, "7")
        browser.run("document.getElementById('clear').click()")
        wait_for(browser, text, "Nothing is drawn yet.")

        keys = [" ", *["ArrowDown"] * 30, " "]  # by keyboard alone: a 1
        browser.run(f"""for (const key of {keys}) document.getElementById('drawing').dispatchEvent(
            new KeyboardEvent('keydown', {{key, bubbles: true}}))""")
        wait_for(browser, text, "1")

        content = list(draw(*SEVEN, *ONE, form="JPEG"))
        browser.run(f"""(() => {{ const data = new DataTransfer(), file = new File([new Uint8Array({content})], 'a.jpg',
            {{type: 'image/jpeg'}}); data.items.add(file); const input = document.getElementById('file')
            input.files = data.files; input.dispatchEvent(new Event('change')) }})()""")
        wait_for(browser, text, "7 1")
        browser.run("""(() => { const chosen = document.getElementById('classifier'); chosen.value = 'whole'
            chosen.dispatchEvent(new Event('change')) })()""")
        wait_for(
            browser,
            "document.querySelectorAll('#glyphs button').length > 0 && !document.getElementById('error').textContent",
            True,
        )

        browser.run("document.getElementById('tab-runs').click()")
        wait_for(browser, "document.querySelectorAll('#board tbody tr').length", 3)
        browser.run("document.querySelector('#board button').click()")
        wait_for(browser, "document.querySelectorAll('#detail .pictures li').length", server.SHOWN_ROWS)
        assert browser.run("document.documentElement.scrollWidth <= 390")
        assert browser.run("document.activeElement.textContent") == "other"

        names = {}  # every control has one
        for node in browser.call("Accessibility.getFullAXTree")["nodes"]:
            if not node["ignored"]:
                names.setdefault(node["role"]["value"], []).append(node["name"]["value"] if "name" in node else "")
        assert {"tab", "button", "checkbox", "table"} <= set(names)
        assert all(
            names[role] and all(names[role]) for role in ("tab", "button", "checkbox", "table", "image", "region")
        )
        asked = [event["params"] for event in browser.events if event["method"] == "Network.requestWillBeSent"]
        urls = [request["request"]["url"] for request in asked]
        assert len(urls) > 5 and all(url.startswith((address, "data:", "blob:")) for url in urls)


@pytest.mark.skipif(find_browser() is None, reason="there is no Chromium")
def test_what_is_drawn_while_a_drawing_is_kept_stays(address, folder, tmp_path):
    kept, text = "document.getElementById('kept').textContent", "document.getElementById('answer').textContent"
    keep = "document.getElementById('label').value = LABEL; document.getElementById('keep').requestSubmit()"
    with Browser(tmp_path / "profile") as browser:
        browser.open(address, 390)
        wait_for(browser, "document.getElementById('keep').hidden", False)
        browser.run(keep.replace("LABEL", "'slow'"))
        assert browser.run(f"{kept} && document.getElementById('kept').className.includes('alarm')")
        browser.run(DRAW.replace("STROKES", json.dumps(ONE)))
        wait_for(browser, text, "1")
        browser.run(keep.replace("LABEL", "'a/b'"))
        wait_for(browser, f"{kept}.includes('a/b')", True)  # refused beside the button, and the drawing is still there
        assert browser.run(text) == "1"

        browser.run("""(() => { const send = fetch
            window.fetch = (path, ...more) => path.startsWith('api/collect') ?
                new Promise((done) => { window.answer = () => done(send(path, ...more)) }) :
                send(path, ...more) })()""")
        browser.run(keep.replace("LABEL", "'slow'"))
        wait_for(browser, "typeof window.answer", "function")
        browser.run(keep.replace("LABEL", "'slow'"))  # a second press
        browser.run(DRAW.replace("STROKES", json.dumps(SEVEN)))
        browser.run("window.answer()")
        wait_for(browser, f"{kept}.includes('slow')", True)
        wait_for(browser, text, "7")
        assert len(list((folder / "kept" / "slow").iterdir())) == 1
    shutil.rmtree(folder / "kept" / "slow")
