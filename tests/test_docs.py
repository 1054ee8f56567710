"""Every command line in the documentation parses, is run or says why not, and every flag that it names exists.

Lines that need Keras are run by tests/test_docs_commands.py.
"""

import ast
import configparser
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from docs_commands import PACKAGE, RULES, list_lines

import digit_recognizer
from digit_recognizer import cli
from digit_recognizer.__main__ import import_command

pytestmark = pytest.mark.fast

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("[a-z]*/README.md"))]
PAGES += [ROOT / "CONTRIBUTING.md"]
TEXTS = {page: page.read_text(encoding="utf-8").replace("\\\n", " ") for page in PAGES if page.exists()}
PLACEHOLDERS = {"NAME": "narrow", "MODEL": "baseline", "mine": "narrow", "N": "2", "S": "1"}
FOREIGN_FLAGS = {  # of other programs than this package
    *("--head", "--port", "--address", "--logdir", "--xla_gpu_deterministic_ops", "--python", "--output", "--check"),
}


class Parsed(Exception):
    """Stops a command as soon as its arguments are parsed."""


def find_commands(text):
    """Command lines of this package, in code blocks and between back quotes."""
    for line in re.findall(r"python -m digit_recognizer\.([^`\n]+)", text):
        name, *arguments = shlex.split(line, comments=True)
        yield name, tuple(PLACEHOLDERS.get(argument, argument) for argument in arguments)


COMMAND_LINES = sorted({found for text in TEXTS.values() for found in find_commands(text)} - {("COMMAND", ())})


@pytest.mark.parametrize("line", COMMAND_LINES, ids=lambda line: " ".join([line[0], *line[1]])[:70])
def test_every_command_line_in_the_docs_parses(line, monkeypatch):
    name, arguments = line
    for path in (Path("mine.toml"), Path("run/config.json")):  # for --config
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}" if path.suffix == ".json" else "")
    module = import_command(name)
    parse = cli.parse_arguments

    def stop_after_parsing(*given, **named):
        parse(*given, **named)
        raise Parsed

    for place in (cli, module):
        if hasattr(place, "parse_arguments"):
            monkeypatch.setattr(place, "parse_arguments", stop_after_parsing)
    stops = (Parsed, SystemExit) if "--help" in arguments else Parsed
    with pytest.raises(stops):
        module.main([*arguments, "--debug"])


def test_every_shell_line_is_run_or_checked_or_says_why_not():
    lines = list_lines()
    assert len(lines) > 50  # else the fences were not found
    untreated = [f"{line.page}: {line.text}" for line in lines if not line.treatment]
    assert not untreated, "put <!-- not run: REASON --> before the block, or see tests/docs_commands.py"


@pytest.mark.parametrize("text", sorted({line.text for line in list_lines() if line.treatment == "quick"}))
def test_a_quick_command_of_the_pages_runs(text, capsys):
    name, *arguments = shlex.split(text.removeprefix(PACKAGE))
    try:
        assert import_command(name).main(arguments) in (0, None)
    except SystemExit as ended:  # --help
        assert ended.code in (0, None)
    assert capsys.readouterr().out


def test_targets_extras_and_files_that_the_pages_name_exist():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    exist = (targets.__contains__, setup["options.extras_require"].__contains__, lambda name: (ROOT / name).exists())
    found = [(number, line.text, re.fullmatch(rule, line.text)) for line in list_lines()
             for number, rule in enumerate(RULES) if line.rule == rule]  # fmt: skip
    assert {number for number, *_ in found} == set(range(len(RULES)))  # no rule is left over
    assert not [text for number, text, match in found if not all(map(exist[number], match[1].split(",")))]


def find_fields(folder):
    """The names of all annotated fields of classes: every flag of the package is one."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield node.target.id


def find_benchmark_flags():
    for path in (*(ROOT / "benchmarks").glob("*.py"), ROOT / "tests" / "mutated_folders.py"):
        yield from re.findall(r'"(--[a-z][a-z-]+)"', path.read_text(encoding="utf-8"))


def test_every_flag_that_a_page_names_exists():
    known = {cli.flag(name) for name in find_fields(ROOT / "digit_recognizer")} | set(find_benchmark_flags())
    known |= {"--help", "--debug", "--no-wait", "--with", "--config"} | FOREIGN_FLAGS
    named = {
        (page.name, found) for page, text in TEXTS.items() for found in re.findall(r"(?<![\w-])--[a-z][\w-]+", text)
    }
    assert not {(page, found) for page, found in named if found not in known}


def test_every_link_to_a_file_leads_somewhere():
    for page, text in TEXTS.items():
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def import_script(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_the_tables_of_models_are_those_of_results_csv():
    tables = import_script(ROOT / "benchmarks" / "model_tables.py")
    for page in tables.PAGES:
        text = page.read_text(encoding="utf-8")
        assert "<!-- models: " in text and tables.fill(page) == text, "run python benchmarks/model_tables.py"


def test_the_gallery_shows_every_model_with_the_words_of_its_file():
    gallery = import_script(ROOT / "benchmarks" / "gallery.py")
    text = gallery.PAGE.read_text(encoding="utf-8")
    assert gallery.fill(text) == text, "run python benchmarks/gallery.py"
    assert all(f"images/models/{name}.png" in text for name in digit_recognizer.list_models())


def test_the_reference_has_every_public_name():
    text = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    shown = re.findall(r"^::: (\S+)$", text, flags=re.MULTILINE)
    for name in {*digit_recognizer.__all__} - {"__version__"}:
        assert f"digit_recognizer.{digit_recognizer._MODULES[name]}.{name}" in shown, name


def test_the_pictures_of_the_pages_are_small_and_each_is_shown():
    examples = [
        path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("examples/*")) if path.suffix in (".md", ".py")
    ]
    text = "".join([*TEXTS.values(), *examples])
    pictures = [path for path in (ROOT / "docs/images").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in pictures) < 3_000_000
    unused = [path.name for path in pictures if path.name not in text and path.name != "favicon.svg"]
    assert not unused


def test_the_navigation_has_every_page():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r": ([a-z-]+\.md)$", text, flags=re.MULTILINE))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} == named - {"contributing.md", "changelog.md"}


def test_every_name_of_the_python_api_in_the_docs_exists():
    named = {found for text in TEXTS.values() for found in re.findall(r"\bdr\.([A-Za-z_]\w*)", text)}
    assert len(named) > 5 and named <= set(digit_recognizer.__all__)
