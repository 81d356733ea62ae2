"""Presets of the user's own, entered beside those of the package. No TensorFlow."""

from stylegan_tf.config import TrainConfig, flat
from stylegan_tf.config.presets import PRESETS, Preset
from stylegan_tf.errors import UserError

BUILT_IN = frozenset(PRESETS)


def register_preset(preset: Preset | TrainConfig) -> str:
    """Enters a preset of the user's own under its name, and returns the name.

    Args:
        preset: a preset with a name, or the settings themselves; those that the data
            decide are left out. One of the same name takes the place of an earlier one.

    Raises:
        UserError: it has no name, or that of a preset of the package.
    """
    if isinstance(preset, TrainConfig):
        name = "custom" if preset.preset in BUILT_IN else preset.preset
        preset = _of_settings(preset, name)
    if not preset.name or preset.name in BUILT_IN:
        raise UserError(
            f"a preset of your own is named {preset.name!r}; give it a name=... that "
            f"no other has."
        )
    PRESETS[preset.name] = preset
    return preset.name


def _of_settings(config: TrainConfig, name: str) -> Preset:
    """Returns the preset whose changes make a config, at whatever resolution."""
    plain, size = flat(TrainConfig()), config.generator.resolution
    of_data = ("resolution", "start_shape", "channels", "classes")
    of_data += ("label_examples", "class_names", "preset", "data", "labels")
    changes = {
        key: value
        for key, value in flat(config).items()
        if value != plain[key] and key.split(".")[-1] not in of_data
    }
    words = ("settings of your own", size, size, "not measured")
    return Preset(*words, lambda resolution, devices: changes, name=name)
