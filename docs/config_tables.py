"""The settings and the presets as Markdown tables, read from `stylegan_tf.config`.

A field's meaning stands in its class docstring, under "Attributes:" (Google style). No
TensorFlow is loaded.
"""

import dataclasses
import inspect
import json
import os
import re
import typing

os.environ.setdefault("STYLEGAN_TF_LAZY", "1")

from stylegan_tf import config as configs
from stylegan_tf.config import TrainConfig, limits, presets


@dataclasses.dataclass(frozen=True)
class Setting:
    """A row of a table.

    Attributes:
        name: dotted, as `--set` takes it.
        type: as the dataclass declares it.
        allowed: its limits, in words; empty where the type says it all.
        default: the paper's value, as JSON.
        meaning: from the class docstring; empty where it has none.
    """

    name: str
    type: str
    allowed: str
    default: str
    meaning: str


def groups() -> dict[str, type]:
    """Returns a run's dataclasses by their dotted names, its own under ""."""
    found, left = {}, [TrainConfig]
    while left:
        cls = left.pop(0)
        found[cls.section] = cls
        left += filter(dataclasses.is_dataclass, typing.get_type_hints(cls).values())
    return found


def settings(group: str) -> list[Setting]:
    """Returns the settings of one dataclass, in its order."""
    cls = groups()[group]
    meanings, hints = attributes(cls), typing.get_type_hints(cls)
    rows = []
    for field in dataclasses.fields(cls):
        if dataclasses.is_dataclass(hints[field.name]):
            continue
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        name = f"{group}.{field.name}" if group else field.name
        allowed = str(limits.limit_of(cls, field.name) or "")
        meaning = meanings.get(field.name, "")
        kind = _type(hints[field.name])
        rows.append(Setting(name, kind, allowed, json.dumps(default), meaning))
    return rows


def _type(hint) -> str:
    if typing.get_origin(hint) is None:
        return hint.__name__
    return str(hint).replace("typing.", "")


def attributes(cls: type) -> dict[str, str]:
    """Returns what a class docstring says under "Attributes:", by name."""
    text = inspect.getdoc(cls) or ""
    _, _, section = text.partition("\nAttributes:\n")
    section = re.split(r"\n(?=\S)", section)[0]
    entries = re.split(r"\n(?= {4}\S)", "\n" + section)
    found = (re.match(r" {4}(\w+)(?: \([^)]*\))?:\s*(.+)", e, re.S) for e in entries)
    return {m[1]: " ".join(m[2].split()) for m in found if m}


def settings_table(group: str) -> str:
    """Returns the settings of one dataclass as a Markdown table."""
    lines = [
        "| setting | type | default | allowed | meaning |",
        "|---|---|---|---|---|",
    ]
    for s in settings(group):
        lines.append(
            f"| `{s.name}` | `{_cell(s.type)}` | `{_cell(s.default)}` "
            f"| {_cell(s.allowed)} | {_cell(s.meaning)} |"
        )
    return "\n".join(lines)


def presets_table() -> str:
    """Returns every preset with its use and what to expect of it."""
    lines = ["| preset | what for | resolution | expect |", "|---|---|---|---|"]
    for name, preset in presets.PRESETS.items():
        lines.append(
            f"| [`{name}`](#{name}) | {_cell(preset.summary)} | {preset.resolution} "
            f"| {_cell(preset.expect)} |"
        )
    return "\n".join(lines)


def preset_changes() -> str:
    """Returns a section per preset: the settings that differ from the defaults."""
    plain = configs.flat(TrainConfig())
    parts = []
    for name, preset in presets.PRESETS.items():
        flat = configs.flat(presets.make_config(name))
        changed = {k: v for k, v in flat.items() if v != plain[k] and k != "preset"}
        rows = [f"| `{k}` | `{_cell(json.dumps(v))}` |" for k, v in changed.items()]
        table = ["| setting | value |", "|---|---|", *rows]
        parts += [f"### {name}", "", preset.summary[:1].upper() + preset.summary[1:]]
        parts[-1] += f", at {preset.resolution}x{preset.resolution} on one device:"
        parts += ["", *table, ""]
    return "\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
