"""Settings of models and training runs, as frozen dataclasses. No TensorFlow.

`GeneratorConfig` and `DiscriminatorConfig` describe the networks, `LossConfig`,
`ScheduleConfig`, `AugmentConfig` and `TrainConfig` a run. `config.json` in a
run directory holds all of them and rebuilds everything. Presets are in
`config/presets.py`.
"""

from stylegan_tf.config.fields import (
    check_changes,
    config_text,
    flat,
    from_dict,
    read_config,
    setting_limit,
    settings_fingerprint,
    to_dict,
    update,
    write_config,
)
from stylegan_tf.config.growth import Growth
from stylegan_tf.config.networks import DiscriminatorConfig, GeneratorConfig
from stylegan_tf.config.run import (
    RESUMABLE,
    SETTLED,
    AugmentConfig,
    LossConfig,
    ScheduleConfig,
    TrainConfig,
)
from stylegan_tf.config.sizes import (
    MAX_RESOLUTION,
    image_shape,
    levels,
    parse_resolution,
    split_shape,
)

__all__ = [
    "MAX_RESOLUTION",
    "RESUMABLE",
    "SETTLED",
    "AugmentConfig",
    "DiscriminatorConfig",
    "GeneratorConfig",
    "Growth",
    "LossConfig",
    "ScheduleConfig",
    "TrainConfig",
    "config_text",
    "check_changes",
    "flat",
    "from_dict",
    "levels",
    "parse_resolution",
    "image_shape",
    "read_config",
    "setting_limit",
    "settings_fingerprint",
    "split_shape",
    "to_dict",
    "update",
    "write_config",
]
