"""Every command line in the documentation parses, and every flag that it names exists."""

import ast
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

import digit_recognizer
from digit_recognizer import cli
from digit_recognizer.__main__ import import_command

pytestmark = pytest.mark.fast

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("[a-z]*/README.md"))]
PAGES += [*sorted(ROOT.glob("benchmarks/[A-Z]*_*.md")), ROOT / "benchmarks/CHAMPION.md", ROOT / "CONTRIBUTING.md"]
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


def find_fields(folder):
    """The names of all annotated fields of classes: every flag of the package is one."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield node.target.id


def find_benchmark_flags():
    for path in (ROOT / "benchmarks").glob("*.py"):
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


def test_the_tables_of_models_are_those_of_results_csv():
    spec = importlib.util.spec_from_file_location("model_tables", ROOT / "benchmarks" / "model_tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    for page in tables.PAGES:
        text = page.read_text(encoding="utf-8")
        assert "<!-- models: " in text and tables.fill(text) == text, "run python benchmarks/model_tables.py"


def test_every_name_of_the_python_api_in_the_docs_exists():
    named = {found for text in TEXTS.values() for found in re.findall(r"\bdr\.([A-Za-z_]\w*)", text)}
    assert len(named) > 5 and named <= set(digit_recognizer.__all__)
