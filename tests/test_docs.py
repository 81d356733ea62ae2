"""README and docs/: links, commands, code map, configuration and API pages."""

import ast
import importlib
import re
import shlex
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import stylegan_tf
from stylegan_tf import config as configs
from stylegan_tf.config import TrainConfig, presets

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))

import api_pages
import code_map
import config_tables

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
FOLDERS = ("launch", "benchmarks", "examples", "tests/faults")
SCRIPTS = [path for name in FOLDERS for path in sorted(ROOT.glob(f"{name}/*.py"))]
VERBS = {p.stem for p in ROOT.glob("launch/*.py")} - {
    "__init__",
    "cli",
    "parsing",
    "main",
    "outputs",
    "recipes",
}
EVERYWHERE = {"help", "flagfile", "version"}  # flags of every script
SHARED = {"resolution", "start_shape", "channels", "classes"}  # of both networks


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ---------------------------------------------------------------------------
# Links


def links(text: str) -> set[str]:
    """Returns the targets of links and images, without those in code."""
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    return set(re.findall(r"\]\(([^)\s]+)\)", text))


def test_links_are_found():
    text = "[a](b.md#c) ![d](e.png){ .sheet }\n```\n[f](g)\n```\n[h](https://i.org)"
    assert links(text) == {"b.md#c", "e.png", "https://i.org"}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_local_links_lead_somewhere(page):
    for link in links(text_of(page)):
        path = link.partition("#")[0]
        if path and not re.match(r"[a-z]+:", path):
            assert (page.parent / path).exists(), link


def test_every_picture_is_shown():
    shown = {link for page in PAGES for link in links(text_of(page))}
    names = {Path(link).name for link in shown}
    assert {p.name for p in (DOCS / "images").iterdir()} <= names


# ---------------------------------------------------------------------------
# Commands


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Returns the scripts that a page runs, by their path, and their arguments."""
    text = re.sub(r" *\\\n\s*", " ", text)
    found = []
    for line in re.split(r"[\n`]", text):
        pattern = r"(?:python (\w+/\w+\.py)|stylegan-tf (\w+))((?: .*)?)"
        match = re.search(pattern, line)
        if match:
            script = match[1] or f"launch/{match[2]}.py"
            rest = re.split(r" \| | && |, then ", match[3])[0]
            found.append((script, shlex.split(rest, comments=True)))
    return found


def flags_of(script: str) -> set[str]:
    """Returns the flags that a script's text defines."""
    found = set()
    for node in ast.walk(ast.parse(text_of(ROOT / script))):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.args[0], "value", None)
            method = ast.unparse(node.func)
            if isinstance(name, str) and "define" in method.lower():
                found.add(name)
            elif isinstance(name, str) and method.endswith("add_argument"):
                found.add(name.lstrip("-"))
    return found


def check_flag(script: str, argument: str) -> None:
    """Fails where a script has no such flag, or refuses its value."""
    name, equals, value = argument.removeprefix("--").partition("=")
    if name in EVERYWHERE:
        return
    if not script.startswith("launch/"):
        assert name in flags_of(script)
        return
    module = importlib.import_module(f"stylegan_tf_launch.{Path(script).stem}")
    values = module.FLAGS
    if not equals and name not in values:
        name = name.removeprefix("no")
    assert name in values
    if equals:
        values[name].parser.parse(value)
    else:
        assert values[name].boolean
    if name == "set":
        setting = value.partition("=")[0]
        assert setting in SHARED or setting in configs.flat(TrainConfig()), setting


def test_commands_are_found():
    text = """
    python launch/train.py --data=photos/ \\
      --mirror | head
Say `python launch/generate.py --seeds=0-3`, or `stylegan-tf train --dry_run`, then go.
"""
    assert commands(text) == [
        ("launch/train.py", ["--data=photos/", "--mirror"]),
        ("launch/generate.py", ["--seeds=0-3"]),
        ("launch/train.py", ["--dry_run"]),
    ]


@pytest.mark.parametrize(
    ("script", "argument"),
    [
        ("launch/train.py", "--no_such_flag=1"),
        ("launch/train.py", "--preset=nothing"),
        ("launch/train.py", "--batch=many"),
        ("launch/train.py", "--set=loss.nothing=1"),
        ("launch/train.py", "--data"),
        ("benchmarks/peers.py", "--nothing=1"),
    ],
)
def test_wrong_flags_are_noticed(script, argument):
    with pytest.raises((AssertionError, ValueError)):
        check_flag(script, argument)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_commands_name_scripts_and_flags_that_exist(page):
    for script, arguments in commands(text_of(page)):
        if script.startswith("docs/"):
            assert (ROOT / script).is_file()
            continue
        assert ROOT / script in SCRIPTS, script
        others = ("benchmarks/", "examples/")
        assert script.startswith(others) or Path(script).stem in VERBS
        for argument in arguments:
            if argument == "--":  # the rest is another command
                break
            if argument.startswith("--"):
                check_flag(script, argument)


def test_flags_in_the_text_exist():
    known = EVERYWHERE.union(*(flags_of(page_name(path)) for path in SCRIPTS))
    for page in PAGES:
        for name in re.findall(r"`--(\w+)", text_of(page)):
            assert {name, name.removeprefix("no")} & known, f"{page}: --{name}"


def test_every_verb_is_explained():
    text = text_of(DOCS / "getting-started.md")
    assert all(f"| `{verb}` |" in text for verb in VERBS)


# ---------------------------------------------------------------------------
# The front page, and what must agree with it


def test_the_readme_is_short_and_runs_before_it_counts():
    lines = text_of(ROOT / "README.md").splitlines()
    assert len(lines) <= 200
    before = "\n".join(lines[: lines.index("python launch/train.py")])
    before = re.sub(r"StyleGAN[23]|TensorFlow 2|Keras 3|Python 3\.\d+", "", before)
    assert not re.search(r"\d", before)


def test_python_and_ruff_are_the_same_everywhere():
    setup = text_of(ROOT / "setup.py")
    oldest = re.search(r'python_requires=">=([\d.]+)"', setup)[1]
    for path in (ROOT / "README.md", DOCS / "getting-started.md"):
        assert f"Python {oldest} or newer" in text_of(path)
    assert f'["{oldest}",' in text_of(ROOT / ".github/workflows/ci.yml")
    ranges = re.findall(r'"(ruff[^"]+)"', setup)
    assert ranges == [ranges[0]]
    hooks = re.findall(r'"(ruff[^"]+)"', text_of(ROOT / ".pre-commit-config.yaml"))
    assert hooks == ranges * 2


# ---------------------------------------------------------------------------
# What is generated


@pytest.fixture(scope="module")
def house():
    return code_map.read_house()


def closure(pairs) -> set[tuple[str, str]]:
    """Returns the pairs, and those that chains of them make."""
    found = set(pairs)
    while more := {(a, d) for a, b in found for c, d in found if b == c} - found:
        found |= more
    return found


def test_the_map_has_every_room_and_import(house):
    package = ROOT / "stylegan_tf"
    folders = {p.parent.name for p in package.glob("*/*.py")}
    modules = {p.stem for p in package.glob("*.py")} - {"__init__"}
    assert set(house) == folders | modules | {"launch"}
    assert all(room.about and room.modules and room.lines for room in house.values())
    imports = {(a, b) for a, room in house.items() for b in room.imports}
    arrows = set(code_map.arrows(house))
    assert arrows <= imports
    assert closure(arrows) == closure(imports)
    level = code_map.floors(house)
    assert all(level[a] > level[b] for a, b in imports)


def test_the_map_is_legible_and_the_same_every_time(house):
    svg = code_map.draw_house(house)
    assert svg == code_map.draw_house(code_map.read_house())
    tree = ET.fromstring(svg)
    width, height = map(float, tree.attrib["viewBox"].split()[2:])
    rooms = [g for g in tree.iter() if "data-room" in g.attrib]
    assert sorted(g.attrib["data-room"] for g in rooms) == sorted(house)
    boxes = [next(e for e in g if e.tag.endswith("rect")).attrib for g in rooms]
    places = [[float(b[k]) for k in ("x", "y", "width", "height")] for b in boxes]
    for i, (x, y, w, h) in enumerate(places):
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
        for x2, y2, w2, h2 in places[:i]:
            assert x + w < x2 or x2 + w2 < x or y + h < y2 or y2 + h2 < y
    ends = {
        (p.attrib["data-from"], p.attrib["data-to"])
        for p in tree.iter()
        if p.get("data-from")
    }
    assert ends == set(code_map.arrows(house))


def test_places_keep_order_and_distance():
    """Of two that want the same place, each stands as near to it as the other."""
    step = code_map.BOX_WIDTH + code_map.GAP
    places = code_map._spread(["a", "b", "c"], [0.0, 0.0, 1000.0])
    assert places == [-step / 2, step / 2, 1000.0]


@pytest.mark.parametrize("group", config_tables.groups())
def test_every_setting_is_explained(group):
    rows = config_tables.settings(group)
    prefix = f"{group}." if group else ""
    flat = configs.flat(TrainConfig())
    expected = [n for n in flat if n.startswith(prefix) and "." not in n[len(prefix) :]]
    assert [row.name for row in rows] == expected
    assert [row.name for row in rows if len(row.meaning) < 4] == []
    table = config_tables.settings_table(group)
    assert all(f"| `{name}` |" in table for name in expected)


def test_attributes_are_read_from_docstrings():
    class Example:
        """Something.

        Attributes:
            first: one thing, which takes
                two lines.
            second (int): another: thing.

        And more.
        """

    expected = {
        "first": "one thing, which takes two lines.",
        "second": "another: thing.",
    }
    assert config_tables.attributes(Example) == expected
    assert config_tables.attributes(int) == {}


def test_every_preset_is_listed():
    table, sections = config_tables.presets_table(), config_tables.preset_changes()
    for name, preset in presets.PRESETS.items():
        assert f"| [`{name}`](#{name}) | {preset.summary} |" in table
        assert f"\n### {name}\n" in f"\n{sections}"


def test_every_public_name_has_a_place():
    names = api_pages.public_names()
    assert sorted(names) == sorted(stylegan_tf.__all__)
    for name, module in names.items():
        topic = api_pages.topic_of(module)
        assert topic, f"{name}: give the room of {module} a topic in docs/api_pages.py"
        assert f"<!-- generated: api {topic} -->" in text_of(DOCS / f"api/{topic}.md")
        assert f"::: {module}.{name}" in api_pages.reference(topic)
        assert name.lower() == "presets" or api_pages.summary(module, name)


def test_call_arguments_become_a_list():
    pytest.importorskip("griffe")
    call_arguments = importlib.import_module("call_arguments")
    call = "Call arguments:\n    x: float,\n        wide.\n    w: style.\n"
    text = f"Layer.\n\n{call}\nReturns:\n    y."
    assert call_arguments.as_list(text) == (
        "Layer.\n\nCall arguments:\n    - `x`: float,\n      wide.\n    - `w`: style.\n"
        "\nReturns:\n    y."
    )
    assert call_arguments.as_list("Layer.") == "Layer."


def test_pages_ask_for_what_is_generated():
    pytest.importorskip("mkdocs")
    hooks = importlib.import_module("hooks")
    marks = [m for page in PAGES for m in hooks.MARK.findall(text_of(page))]
    assert sorted(marks) == sorted(hooks.GENERATED)
