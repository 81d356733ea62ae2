"""Configs to and from JSON, and changes of single fields by dotted names."""

import dataclasses
import difflib
import functools
import hashlib
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from stylegan_tf import files
from stylegan_tf.config.limits import check_field, limit_of, shortened
from stylegan_tf.config.run import RESUMABLE, SETTLED, LossConfig, TrainConfig
from stylegan_tf.errors import UserError

Config = TypeVar("Config")

SHARED = ("resolution", "start_shape", "channels", "classes")  # of both networks
# Fields of earlier versions: the value without effect, and what to do about another.
REMOVED = {
    LossConfig: {
        "reuse_scores": (
            False,
            "its images were worse. Set it to false in config.json to go on from the "
            "checkpoint with loss.reuse_fakes alone.",
        )
    }
}


def to_dict(config: object) -> dict[str, object]:
    """Returns a config as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(cls: type[Config], values: Mapping[str, object]) -> Config:
    """Returns the config that `to_dict` wrote.

    Args:
        cls: class of the config.
        values: field -> JSON value.

    Raises:
        UserError: a field that `cls` does not have, or a value of another type.
    """
    if not isinstance(values, dict):
        raise UserError(f"{cls.__name__} is {type(values).__name__}, not named values.")
    values = _without_removed(cls, values)
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise UserError(f"{cls.__name__} has no field {', '.join(unknown)}.")
    return cls(
        **{k: _typed(hints[k], v, f"{k}={shortened(v)}") for k, v in values.items()}
    )


def _without_removed(cls: type, values: Mapping[str, object]) -> dict[str, object]:
    """Returns the values without the fields in `REMOVED`, which older files have."""
    for name, (harmless, instead) in REMOVED.get(cls, {}).items():
        if values.get(name, harmless) != harmless:
            raise UserError(
                f"{name}={values[name]!r} is no longer supported; {instead}"
            )
    return {k: v for k, v in values.items() if k not in REMOVED.get(cls, {})}


def config_text(config: TrainConfig) -> str:
    """Returns a config as indented JSON."""
    return json.dumps(to_dict(config), indent=2) + "\n"


def write_config(config: TrainConfig, path: Path | str) -> None:
    """Writes a config as indented JSON, in one step."""
    files.write_text(Path(path), config_text(config))


def read_config(path: Path | str, cls: type[Config] = TrainConfig) -> Config:
    """Reads a config that `write_config` wrote.

    Raises:
        UserError: a field that `cls` does not have, or a value of another type.
    """
    return from_dict(cls, files.parse_json(files.read_regular_text(path)))


def settings_fingerprint(config: TrainConfig) -> str:
    """Returns 16 hexadecimal digits for all settings that cannot change in a run.

    Settings at their defaults do not count, so that a run keeps its fingerprint when a
    later version has more settings.
    """
    free, usual = (*RESUMABLE, *SETTLED), flat(type(config)())
    own = {
        name: value
        for name, value in flat(config).items()
        if name not in free and value != usual[name]
    }
    text = json.dumps(own, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def flat(config: object) -> dict[str, object]:
    """Returns every field by its dotted name: `{"generator.z_dim": 512, ...}`."""
    out = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            out |= {f"{f.name}.{k}": v for k, v in flat(value).items()}
        else:
            out[f.name] = value
    return out


def setting_limit(name: str) -> Any:
    """Returns the limit of a setting of a run, by its dotted name; None without one."""
    *parts, last = name.split(".")
    cls = functools.reduce(
        lambda c, part: typing.get_type_hints(c)[part], parts, TrainConfig
    )
    return limit_of(cls, last)


def update(config: Config, changes: Mapping[str, object]) -> Config:
    """Returns a config with some fields, given by their dotted names, changed.

    Values may be text, as on a command line. `resolution`, `start_shape`, `channels`
    and `classes` belong to both networks: the bare name changes both at once.

    Raises:
        UserError: no such field, or a value of another type.
    """
    tree: dict = {}
    for name, value in changes.items():
        both = name in SHARED and isinstance(config, TrainConfig)
        names = (
            [f"{n}.{name}" for n in ("generator", "discriminator")] if both else [name]
        )
        for dotted in names:
            head, _, rest = dotted.partition(".")
            tree.setdefault(head, {})[rest] = value
    replaced = {head: _changed(config, head, parts) for head, parts in tree.items()}
    return dataclasses.replace(config, **replaced)


def check_changes(changes: Mapping[str, object]) -> None:
    """Checks each change of a run by itself, before anything is made for the run.

    Args:
        changes: dotted setting -> value, as `update` takes them.

    Raises:
        UserError: no such setting, or a value of another type or out of range.
    """
    for name, value in changes.items():
        dotted = f"generator.{name}" if name in SHARED else name
        *parts, last = dotted.split(".")
        cls: Any = TrainConfig
        for part in parts:
            if not dataclasses.is_dataclass(typing.get_type_hints(cls).get(part)):
                _changed(cls(), part, {last: value})  # says that it is no group
            cls = typing.get_type_hints(cls)[part]
        if dataclasses.is_dataclass(typing.get_type_hints(cls).get(last)):
            raise UserError(f"{name!r} is a group of settings; change one of them.")
        new = _changed(cls(), last, {"": value})
        check_field(cls, last, new)


def _changed(config, head: str, parts: dict):
    hints = typing.get_type_hints(type(config))
    if head not in hints:
        near = difflib.get_close_matches(head, hints)
        hint = f"did you mean {' or '.join(near)}? T" if near else "t"
        raise UserError(
            f"there is no setting {head!r}; {hint}here are: {', '.join(hints)}."
        )
    if "" not in parts:
        if not dataclasses.is_dataclass(hints[head]):
            raise UserError(
                f"{head!r} is one value; it has no field {next(iter(parts))!r}."
            )
        return update(getattr(config, head), parts)
    value = parts[""]
    if isinstance(value, str):
        return _parse(hints[head], value, head)
    return _typed(hints[head], value, f"{head}={shortened(value)}")


_WRITTEN = {
    tuple: "; write values with commas between them, as 4,4",
    dict: """; write pairs in quotes, as '{"64": 16}'""",
}


def _parse(hint, text: str, name: str):
    """Parses a value from a command line."""
    if hint is str:
        return text
    try:
        value = json.loads(text.lower() if hint is bool else text)
    except (ValueError, RecursionError):
        plain = typing.get_origin(hint) is tuple
        value = [part.strip() for part in text.split(",")] if plain else text
    return _typed(hint, value, f"{name}={shortened(text)}")


def _typed(hint, value, shown: str):
    """Converts a plain value to a field's type `hint`, or raises `UserError`."""
    want = typing.get_origin(hint) or hint
    try:
        restored = _restore(hint, value)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        if isinstance(error, UserError):
            raise
        restored = None
    if not isinstance(restored, want) or (
        isinstance(restored, bool) and want is not bool
    ):
        how = _WRITTEN.get(want, "")
        raise UserError(f"{shown} is not of type {want.__name__}{how}.")
    return restored


def _restore(hint, value):
    """Converts JSON's lists and string keys to tuples and numbers."""
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value)
    if origin is tuple:
        return tuple(value)
    if origin is dict:
        key, item = typing.get_args(hint)
        return {key(k): item(v) for k, v in value.items()}
    return float(value) if hint is float and type(value) is int else value
