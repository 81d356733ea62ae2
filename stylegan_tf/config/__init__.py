"""Every number of a model and of a training run, as frozen dataclasses. No TensorFlow.

`GeneratorConfig` and `DiscriminatorConfig` describe the networks, `LossConfig`,
`ScheduleConfig`, `AugmentConfig` and `TrainConfig` a run. All of them travel through
JSON, so that `config.json` in a run directory rebuilds everything. The recipes made of
them are in `config/presets.py`.
"""

from stylegan_tf.config.fields import flat, from_dict, load, save, to_dict, update
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
    "LossConfig",
    "ScheduleConfig",
    "TrainConfig",
    "flat",
    "from_dict",
    "levels",
    "load",
    "parse_resolution",
    "image_shape",
    "save",
    "split_shape",
    "to_dict",
    "update",
]
