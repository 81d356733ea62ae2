"""The public names of `stylegan_tf`, found in the text of its `__init__`.

Each page under `docs/api/` is of one topic and names the rooms it covers; what is said
about a name comes from its docstring, through mkdocstrings.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "stylegan_tf"
# Topic -> rooms; every public name's room belongs to one topic.
TOPICS = {
    "models": ("models", "official", "hub", "errors"),
    "networks": ("networks",),
    "training": ("config", "training", "runs", "augment", "devices"),
    "drawing": ("sampling", "latents", "figures"),
    "measuring": ("metrics", "projector", "export"),
}


def public_names(root: Path = ROOT) -> dict[str, str]:
    """Returns the module that each public name comes from, in alphabetical order.

    The imports under TYPE_CHECKING in the package's `__init__` tell.
    """
    tree = ast.parse((root / PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _inside(node.module):
            found |= {a.asname or a.name: node.module for a in node.names}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _inside(module: str | None) -> bool:
    return (module or "").startswith(f"{PACKAGE}.")


def topic_of(module: str) -> str | None:
    """Returns the topic of a module, or None if no page covers its room."""
    room = module.split(".")[1]
    return next((topic for topic, rooms in TOPICS.items() if room in rooms), None)


def reference(topic: str) -> str:
    """Returns the directives that mkdocstrings replaces by a topic's names."""
    names = [n for n, module in public_names().items() if topic_of(module) == topic]
    return "\n\n".join(f"::: {public_names()[name]}.{name}" for name in names)


def names_table() -> str:
    """Returns every public name, its first sentence and a link, as a Markdown table."""
    lines = ["| name | what it is |", "|---|---|"]
    for name, module in public_names().items():
        link = f"[`stylegan_tf.{name}`][{module}.{name}]"
        lines.append(f"| {link} | {summary(module, name)} |")
    return "\n".join(lines)


def summary(module: str, name: str, root: Path = ROOT) -> str:
    """Returns the first line of a name's docstring, wherever it is defined."""
    path = root / Path(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return (ast.get_docstring(node) or "").split("\n")[0].replace("|", "\\|")
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return summary(node.module, alias.name, root)
    return ""
