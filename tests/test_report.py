import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browser import NAMES, Browser, find_browser
from conftest import expect_error, write_run
from PIL import Image

from digit_recognizer import report as door
from digit_recognizer.errors import InputError
from digit_recognizer.reporting.html import FigureFile, Section, build_page, build_table, describe_safely
from digit_recognizer.reporting.plots import DPI

VOID = {"meta", "img", "br"}
HOSTILE = "<b onclick='x()'>\"bold\" & more</b><script>alert(1)</script>"
CONTRAST = 4.5  # WCAG 2.2, AA, of text of ordinary size
# what a script in the browser tells of the page as it is shown
READ_PAGE = """(() => {
  const shown = element => getComputedStyle(element), all = name => [...document.querySelectorAll(name)];
  return {
    title: document.title,
    headings: all('h1, h2').map(heading => heading.textContent),
    broken: all('img').filter(image => !(image.complete && image.naturalWidth > 0)).length,
    images: all('img').length,
    beyond: document.documentElement.scrollWidth - window.innerWidth,
    wide: all('.card').filter(card => card.getBoundingClientRect().right > window.innerWidth).length,
    smallest: Math.min(...all('img').map(image => image.clientWidth / image.naturalWidth)),
    requests: performance.getEntriesByType('resource').filter(entry => !entry.name.startsWith('data:')).length,
    colours: ['p', '.quiet', 'nav a', 'figcaption', '.facts dt', '.facts dd', 'thead th', 'td', 'summary'].map(name => {
      const element = document.querySelector(name), grounds = [];
      for (let at = element; at; at = at.parentElement) grounds.push(shown(at).backgroundColor);
      return [name, shown(element).color, grounds.find(ground => ground != 'rgba(0, 0, 0, 0)')];
    }),
    card: shown(document.querySelector('.card')).backgroundColor,
  };
})()"""


class Page(HTMLParser):
    """A page as its tags and texts; it stops where tags are not closed in their order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts = [], [], {}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data.replace("\N{NO-BREAK SPACE}", " "))

    def list_attributes(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


@pytest.fixture(scope="module")
def page(examination, tmp_path_factory):
    """The report of the small run, as a file."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(examination.build_page())
    return path


@pytest.fixture
def bare(examined, tmp_path):
    """A run without models, not examined yet, in a folder whose name is no name for HTML."""
    oof = np.eye(10)[np.arange(60) % 10] * 0.9 + 0.01
    return write_run(tmp_path / "a<b>&'c", examined / "data", oof, np.full((20, 10), 0.1))


def report(examined, run, *arguments):
    return door.main([str(run), "--input-dir", str(examined / "data"), *map(str, arguments)])


def test_a_report_holds_every_section_figure_and_cell_of_the_examination(examination, page):
    sections, found = examination.sections, Page(page.read_text())
    assert found.texts["h2"] == ["Contents", *(section.title for section in sections), "Configuration"]
    figures = [figure for section in sections for figure in section.figures]
    assert found.list_attributes("alt") == [figure.alt or figure.caption for figure in figures]
    assert found.texts["figcaption"] == [figure.caption for figure in figures]
    assert set(found.texts["p"]) >= {paragraph for section in sections for paragraph in section.paragraphs}
    assert set(found.texts["td"]) >= {cell for section in sections for row in section.table[1:] for cell in row if cell}
    (title,) = found.texts["title"]
    assert "baseline: " in title and "of 60 held-out digits" in title and found.texts["h1"] == [title]


def test_every_section_has_its_figures_then_its_text_then_its_table(page):
    for part in page.read_text().split("<section ")[1:]:
        marks = [
            part.rfind("</figure>"),
            part.find("</h2><p>" if "<figure" not in part else "<p>"),
            part.find("<table"),
        ]
        places = [mark for mark in marks if mark >= 0]
        assert places == sorted(places)


def test_a_report_has_no_literal_markdown(page):
    texts = Page(page.read_text()).texts
    shown = [text for tag, parts in texts.items() if tag != "style" for text in parts]
    assert [text for text in shown if "`" in text or "**" in text] == []


def test_a_report_names_command_and_settings(examined, page):
    cells = Page(page.read_text()).texts["td"]
    settings = json.loads((examined / "run" / "config.json").read_text())
    assert "classes" not in json.loads((examined / "run" / "metrics.json").read_text()), "digits need no names"
    assert {"batch_size", "20", "keras", "processor", "float32"} <= set(cells)
    assert set(settings) - {"subcommand", "command"} <= set(cells)
    assert settings["command"] in Page(page.read_text()).texts["code"]


def test_a_report_needs_nothing_but_itself(page):
    found = Page(page.read_text())
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in found.tags}
    ids = found.list_attributes("id")
    assert len(set(ids)) == len(ids)
    assert {f"#{name}" for name in ids} >= set(found.list_attributes("href"))
    assert all(source.startswith("data:image/png;base64,") for source in found.list_attributes("src"))
    policy = next(attributes["content"] for tag, attributes in found.tags if "http-equiv" in attributes)
    assert "default-src 'none'" in policy and "http" not in policy
    (style,) = found.texts["style"]
    assert "url(" not in style and "@import" not in style
    assert page.stat().st_size < 6e6


def test_whatever_stands_in_a_run_is_text(examined, bare, capsys):
    (bare / "config.json").write_text(json.dumps({"subcommand": "cv", "command": HOSTILE, HOSTILE: [HOSTILE]}))
    metrics = json.loads((bare / "metrics.json").read_text())
    hostile = {**metrics, "model": HOSTILE, "ineligible": HOSTILE}
    (bare / "metrics.json").write_text(json.dumps(hostile))
    assert report(examined, bare) == 0
    assert "repeated confusions" in (out := capsys.readouterr().out) and "report.html" in out
    found = Page((bare / "report.html").read_text())
    assert not {"b", "script"} & {tag for tag, _ in found.tags} and found.list_attributes("onclick") == []
    assert found.texts["title"][0].startswith(f"{HOSTILE}: ") and HOSTILE in found.texts["code"]
    assert f"INELIGIBLE FOR THE COMPETITION: {HOSTILE}." in found.texts["p"]
    assert HOSTILE in found.texts["td"] and any("a<b>&'c" in text for text in found.texts["p"])
    assert any("environment is unknown" in text and "environment.json" in text for text in found.texts["p"])


def test_what_cannot_be_reported_is_refused(examined, bare, tmp_path):
    (tmp_path / "notes.html").write_text("<html>not ours</html>")
    for code, arguments in (
        ("report.output_file", [bare, "--output", "notes.html"]),
        ("io.folder", [bare, "--output", tmp_path]),
        ("io.unwritable_folder", [bare, "--output", tmp_path / "notes.html" / "report.html"]),
    ):
        with expect_error(code):
            report(examined, *arguments, "--debug")
    (bare / "metrics.json").unlink()
    assert report(examined, bare) == 2  # it has not finished
    assert not (bare / "examination").exists() and (tmp_path / "notes.html").read_text() == "<html>not ours</html>"


@pytest.mark.parametrize("command", ["report", "examine"])
def test_a_mistyped_folder_is_refused_before_keras_is_imported(command):
    script = (
        f"import sys\nfrom digit_recognizer.{command} import main\n"
        "assert main(['nowhere']) == 2 and not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert finished.returncode == 0 and "nowhere" in finished.stderr and "Traceback" not in finished.stderr


def test_an_error_is_one_line_and_exit_code_2(examined, bare, tmp_path, capsys):
    assert report(examined, bare, "--output", tmp_path) == 2
    assert (err := capsys.readouterr().err).count("\n") == 1 and err.startswith("report: ")


def test_numbers_stand_flush_right_and_long_cells_may_wrap():
    table = build_table([("n", "name", "note"), ("1,234", "4 of 5", "x" * 99), ("0.5 %", "–", "y")], "a table")
    assert '<th scope="col" class="short number">n</th>' in table
    assert '<td class="short">4 of 5</td>' in table and f'<td class="long">{"x" * 99}</td>' in table


def read_colour(words):
    """The share of light (WCAG's relative luminance) of a colour as browsers tell it: `rgb(251, 250, 247)`."""
    levels = np.array([float(number) for number in words[words.index("(") + 1 : -1].split(",")[:3]]) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)


def compute_contrast(one, other):
    darker, lighter = sorted((read_colour(one), read_colour(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.skipif(find_browser() is None, reason=f"no browser is installed: none of {', '.join(NAMES)}")
def test_a_browser_shows_the_whole_page_at_desk_and_phone_in_light_and_dark(page, tmp_path):
    written, shown = Page(page.read_text()), {}
    with Browser(tmp_path / "profile") as browser:
        for scheme in ("light", "dark"):
            for width_px in (1280, 375):
                browser.open(page.as_uri(), width_px, scheme=scheme)
                shown[scheme, width_px] = browser.run(READ_PAGE)
        browser.open(f"{page.as_uri()}#figure-2-1", 375)
        large = browser.run("document.querySelector('#figure-2-1 img').clientWidth")
        over = browser.run("document.documentElement.scrollWidth - window.innerWidth")
    for found in shown.values():
        assert [found["title"].replace("\N{NO-BREAK SPACE}", " ")] == written.texts["title"]
        assert [text.replace("\N{NO-BREAK SPACE}", " ") for text in found["headings"]] == written.texts[
            "h1"
        ] + written.texts["h2"]
        assert found["images"] == len(written.list_attributes("src")) > 8 and found["broken"] == 0
        assert found["beyond"] <= 0 and found["wide"] == 0 and found["requests"] == 0
        label_px = 10 / 72 * DPI * found["smallest"]  # of 10 points, in the figure that is shrunk the most
        assert label_px > 8.5, "labels can be read; what is wider scrolls in its card"
        assert found["card"] == "rgb(255, 255, 255)"  # figures are drawn on white
        assert {
            name: compute_contrast(*pair) for name, *pair in found["colours"] if compute_contrast(*pair) < CONTRAST
        } == {}
    light, dark = ({name: pair for name, *pair in shown[scheme, 375]["colours"]} for scheme in ("light", "dark"))
    assert all(light[name][0] != dark[name][0] and light[name][1] != dark[name][1] for name in light)
    assert large > 600 and over <= 0  # of a figure opened on a phone, in a box that scrolls by itself


def test_captions_and_cells_are_text_whatever_they_hold(tmp_path):
    picture = tmp_path / "figure.png"
    Image.new("L", (4, 3)).save(picture)
    section = Section(HOSTILE, (HOSTILE,), (FigureFile(picture, HOSTILE),), ((HOSTILE,), (HOSTILE,)))
    found = Page(build_page("title", "", [section], []))
    assert found.list_attributes("alt") == [HOSTILE] == found.texts["figcaption"]
    assert found.texts["td"] == found.texts["th"] == [HOSTILE]
    assert not {"b", "script"} & {tag for tag, _ in found.tags}


def test_an_unforeseen_error_costs_its_section_and_one_of_the_user_is_raised():
    def fail(error):
        raise error

    (section,) = describe_safely("Data", Path("runs/mine"), fail, IndexError("nobody foresaw that"))
    assert section.title == "Data" and "IndexError: nobody foresaw that" in section.paragraphs[0]
    with expect_error("io.missing"):
        describe_safely("Data", Path("runs/mine"), fail, InputError("io.missing", path="train.csv"))
