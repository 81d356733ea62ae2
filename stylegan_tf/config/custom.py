"""Parts of a run that are the user's own: losses, networks, augmentation.

A config names such a part `custom:NAME`, NAME being that of the function or class. The
object itself is in a table of this process: `train` enters what it is given, `register`
does so for a model that is only opened. No TensorFlow.
"""

import inspect
from collections.abc import Callable

from stylegan_tf.errors import UserError

PREFIX = "custom:"
# Kind, which is the argument of `train` and `register` -> the setting with its name.
SETTINGS = {
    "g_loss": "loss.g_loss",
    "d_loss": "loss.d_loss",
    "generator": "generator.network",
    "discriminator": "discriminator.network",
    "augment": "augment.kind",
}
_parts: dict[tuple[str, str], Callable] = {}


def is_custom(value: object) -> bool:
    """True for the value of a setting that names a part of the user's own."""
    return isinstance(value, str) and value.startswith(PREFIX)


def is_custom_name(value: str) -> bool:
    """True for `custom:` and a name that a function or class may have."""
    return is_custom(value) and value.removeprefix(PREFIX).isidentifier()


def register(
    *,
    g_loss: Callable[..., object] | None = None,
    d_loss: Callable[..., object] | None = None,
    generator: type | None = None,
    discriminator: type | None = None,
    augment: Callable[..., object] | None = None,
) -> dict[str, str]:
    """Enters parts of your own, so that runs and models that name them find them.

    `train` does this with what it is given. Another process that opens the model calls
    it before `load`. A part of the same name takes the place of an earlier one.

    Args:
        g_loss: function of scores of fakes [N, 1] -> loss [N, 1].
        d_loss: function of scores of reals and of fakes -> loss [N, 1].
        generator: class of a synthesis network, or a subclass of `Generator`.
        discriminator: class of a discriminator.
        augment: function of images [N, H, W, C] in [-1, 1] and uniform random numbers
            [N, M] -> images.

    Returns:
        Setting -> the value that names the part, such as
        `{"loss.g_loss": "custom:my_loss"}`.

    Raises:
        UserError: a part cannot be called, or has no name of its own.
    """
    parts = {
        "g_loss": g_loss,
        "d_loss": d_loss,
        "generator": generator,
        "discriminator": discriminator,
        "augment": augment,
    }
    names = {}
    for kind, part in parts.items():
        if part is None:
            continue
        wanted = "class" if kind in ("generator", "discriminator") else "function"
        fits = isinstance(part, type) if wanted == "class" else callable(part)
        name = getattr(part, "__name__", "")
        if not fits or not name.isidentifier():
            raise UserError(
                f"{kind} is {part!r}; give a {wanted} with a name of its own, made by "
                f"{'class' if wanted == 'class' else 'def'}: the run keeps the name."
            )
        if wanted == "class":
            _check_call(part)
        _parts[kind, name] = part
        names[SETTINGS[kind]] = PREFIX + name
    return names


def _check_call(network: type) -> None:
    """Refuses a network whose call has `**kwargs`, in which Keras allows no tensors."""
    call = getattr(network, "call", None)
    parameters = inspect.signature(call).parameters.values() if call else ()
    for p in parameters:
        if p.kind is p.VAR_KEYWORD:
            raise UserError(
                f"{network.__name__}.call takes **{p.name}, which Keras does not fill "
                f"with tensors and other values; name each argument, see "
                f"docs/library.md."
            )


def find_custom(kind: str, value: str) -> Callable:
    """Returns the part that a setting names.

    Args:
        kind: key of `SETTINGS`.
        value: such as `custom:my_loss`.

    Raises:
        UserError: this process has no such part; says how to enter it.
    """
    name = value.removeprefix(PREFIX)
    if (kind, name) not in _parts:
        raise UserError(
            f"{SETTINGS[kind]} is your own {name!r}, which is not known here; open "
            f"it from Python, after stylegan_tf.register({kind}={name})."
        )
    return _parts[kind, name]


def missing_parts(settings: dict[str, object]) -> dict[str, str]:
    """Returns kind -> name of the parts that settings name and this process lacks.

    Args:
        settings: values by dotted name.
    """
    named = {kind: settings.get(setting) for kind, setting in SETTINGS.items()}
    return {
        kind: str(value).removeprefix(PREFIX)
        for kind, value in named.items()
        if is_custom(value) and (kind, value.removeprefix(PREFIX)) not in _parts
    }
