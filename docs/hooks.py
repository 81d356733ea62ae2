"""What `mkdocs build` generates: the code map, the configuration and the API pages.

A comment such as `<!-- generated: code map -->` in a page is replaced by what the
function of that name returns.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from mkdocs.exceptions import PluginError

sys.path.insert(0, str(Path(__file__).parent))

import api_pages
import code_map
import config_tables

MARK = re.compile(r"<!-- generated: (.+?) -->")

GENERATED: dict[str, Callable[[], str]] = {
    "code map": lambda: f"<div>{code_map.draw_house(code_map.read_house())}</div>",
    "house table": lambda: code_map.house_table(code_map.read_house()),
    "presets": config_tables.presets_table,
    "preset changes": config_tables.preset_changes,
    "public names": api_pages.names_table,
}
for _group in config_tables.groups():
    GENERATED[f"settings {_group}".strip()] = lambda group=_group: (
        config_tables.settings_table(group)
    )
for _topic in api_pages.TOPICS:
    GENERATED[f"api {_topic}"] = lambda topic=_topic: api_pages.reference(topic)


def on_page_markdown(markdown: str, page, **_) -> str:
    """Replaces the comments of a page.

    Raises:
        PluginError: a comment names nothing that is generated.
    """

    def replaced(match: re.Match) -> str:
        if match[1] not in GENERATED:
            raise PluginError(f"{page.file.src_uri}: nothing generates {match[1]!r}.")
        return GENERATED[match[1]]()

    return MARK.sub(replaced, markdown)
