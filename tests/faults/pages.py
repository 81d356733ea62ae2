"""Tables in the pages of the documentation, written by the commands that make them."""

from pathlib import Path


def write_between(path: Path, name: str, text: str) -> None:
    """Puts text between the marks `<!-- name -->` of a page, or makes a file of it."""
    mark = f"<!-- {name} -->"
    if path.exists() and mark in (page := path.read_text(encoding="utf-8")):
        before, _, after = page.split(mark)
        text = f"{before}{mark}\n{text}\n{mark}{after}"
    path.write_text(text, encoding="utf-8")
