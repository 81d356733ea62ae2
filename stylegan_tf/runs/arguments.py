"""The arguments of `train`, as a request. No TensorFlow."""

import difflib
import functools
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from stylegan_tf import config as configs
from stylegan_tf.config import TrainConfig, custom
from stylegan_tf.config.own_presets import register_preset
from stylegan_tf.config.presets import Preset
from stylegan_tf.data.objects import is_tf_dataset, open_images
from stylegan_tf.errors import UserError
from stylegan_tf.runs.request import (
    FLAG_NAMES,
    FLAGS,
    SURROUNDINGS,
    RunRequest,
    changes_of,
)

# Further arguments of `train`, for a hint at the one that was meant.
NAMED = ("preset", "resolution", "settings", "callbacks", "stream", "out", "resume")


def named(**arguments: object) -> dict[str, object]:
    """Returns the arguments that are not None."""
    return {name: value for name, value in arguments.items() if value is not None}


def make_request(
    given: Mapping[str, Any],
    settings: Mapping[str, object],
    parts: Mapping[str, Any],
    preset: str | Preset | TrainConfig | None = None,
    resolution: int | str | Sequence[int] | None = None,
    stream: bool = False,
    **where: str | os.PathLike[str],
) -> RunRequest:
    """Makes a request of what `train` is given.

    Args:
        given: flag -> value, data and labels included.
        settings: dotted setting -> value.
        parts: kind -> loss, network or augmentation, by name or as an object.
        preset: see `train`.
        resolution: see `train`.
        stream: see `train`.
        **where: `out` and `resume`.

    Raises:
        UserError: a value is of the wrong kind or out of range.
        TypeError: there is no such flag.
    """
    _check_given(given, stream)
    call = named(preset=preset, resolution=resolution, settings=settings or None)
    call |= {"stream": True} if stream else {}
    around = {"command": _python_command({**given, **call, **parts, **where})}
    around |= {k: given[k] for k in SURROUNDINGS if k in given}
    flags = {k: v for k, v in given.items() if k in FLAGS}
    images, data = None, flags.get("data")
    if data is not None and not isinstance(data, str | os.PathLike):
        own_labels = flags.get("labels")
        if not isinstance(own_labels, str | None):
            del flags["labels"]
        cache = around.get("cache")
        images = functools.partial(open_images, flags.pop("data"), own_labels, cache)
    elif not isinstance(flags.get("labels", ""), str | os.PathLike):
        raise UserError(
            "labels are given one by one, so data must be, too: an array or a list of "
            "paths."
        )
    changes = changes_of(flags) | dict(settings) | _part_settings(parts)
    configs.check_changes(changes)
    if isinstance(preset, Preset | TrainConfig):
        preset = register_preset(preset)
    networks = [parts.get(kind) for kind in ("generator", "discriminator")]
    return RunRequest(
        preset=preset,
        changes=changes,
        resolution=_size_text(resolution),
        flags=_names_in_messages("command" in given),
        images=images,
        dataset=data if is_tf_dataset(data) else None,
        streams=stream,
        asks="command" in given,
        grows=all(getattr(n, "grows", False) for n in networks if n),
        **around,
        **{name: os.path.expanduser(place) for name, place in where.items()},
    )


def _check_given(given: Mapping[str, Any], stream: bool) -> None:
    """Refuses unknown names, and what a stream cannot be or have."""
    known = {*FLAGS, *SURROUNDINGS}
    for name in given.keys() - known:
        near = difflib.get_close_matches(name, [*known, *custom.SETTINGS, *NAMED])
        hint = f"; did you mean {near[0]}?" if near else ""
        raise TypeError(f"train() has no argument {name!r}{hint}")
    if stream and not is_tf_dataset(given.get("data")):
        raise UserError(
            "stream=True trains straight from a tf.data.Dataset; give one as data."
        )


def _part_settings(parts: Mapping[str, Any]) -> dict[str, object]:
    """Enters the user's own parts, and returns the settings that name all of them."""
    own = {kind: part for kind, part in parts.items() if not isinstance(part, str)}
    by_name = {custom.SETTINGS[kind]: parts[kind] for kind in parts.keys() - own.keys()}
    return by_name | custom.register(**own)


def _size_text(resolution: int | str | Sequence[int] | None) -> str | None:
    if resolution is None or isinstance(resolution, str):
        return resolution
    sides = [resolution] if isinstance(resolution, int) else list(resolution)
    return "x".join(str(side) for side in sides)


def _names_in_messages(on_command_line: bool) -> dict[str, str]:
    """Returns setting -> how the user would write it."""
    if on_command_line:
        return {setting: f"--{flag}" for setting, flag in FLAG_NAMES.items()}
    plain = {name: f"settings[{name!r}]" for name in configs.flat(TrainConfig())}
    own = {setting: kind for kind, setting in custom.SETTINGS.items()}
    return plain | FLAG_NAMES | own


def _python_command(arguments: Mapping[str, object]) -> list[str]:
    """Returns the call of `train` as a command line, for the record."""
    shown = ", ".join(f"{name}={_shown(v)}" for name, v in arguments.items())
    return ["python", "-c", f"import stylegan_tf; stylegan_tf.train({shown})"]


def _shown(value: object) -> str:
    if isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str | os.PathLike):
        return json.dumps(os.fspath(value))
    if isinstance(value, Preset):
        return json.dumps(value.name)
    if isinstance(value, Mapping):
        items = ", ".join(f"{_shown(k)}: {_shown(v)}" for k, v in value.items())
        return f"{{{items}}}"
    if isinstance(value, list | tuple) and len(value) < 10:
        return f"[{', '.join(map(_shown, value))}]"
    return getattr(value, "__name__", f"<{type(value).__name__}>")
