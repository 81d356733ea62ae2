"""StyleGAN for TensorFlow 2 and Keras 3.

    import stylegan_tf

    run = stylegan_tf.train("photos/", preset="demo", resolution=64, kimg=200)
    generator = stylegan_tf.load("runs/00000-photos-demo")
    images = stylegan_tf.generate(generator, seeds=range(8), psi=0.7)

`__all__` lists the public names. Importing the package registers the layers with Keras,
so that `keras.models.load_model` knows them. Where the environment variable
STYLEGAN_TF_LAZY is set, as in the launch scripts, no module is loaded before one of its
names is used. TensorFlow computes with oneDNN unless TF_ENABLE_ONEDNN_OPTS says
otherwise or TensorFlow was imported before.
"""

import importlib
import os
from typing import TYPE_CHECKING

# On by default only for processors with AVX-512. TensorFlow reads it while loading.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

if TYPE_CHECKING:
    from stylegan_tf.config import (
        AugmentConfig,
        DiscriminatorConfig,
        GeneratorConfig,
        Growth,
        LossConfig,
        ScheduleConfig,
        TrainConfig,
    )
    from stylegan_tf.config.custom import register
    from stylegan_tf.config.presets import PRESETS, Preset, presets
    from stylegan_tf.errors import UserError
    from stylegan_tf.latents import Latents, load_latents
    from stylegan_tf.latents.directions import Directions
    from stylegan_tf.metrics.features.inception import load_inception
    from stylegan_tf.metrics.features.lpips import load_lpips
    from stylegan_tf.models import generate, load, load_networks
    from stylegan_tf.networks.block import Block
    from stylegan_tf.networks.discriminator import Discriminator
    from stylegan_tf.networks.encoder import Encoder
    from stylegan_tf.networks.equalized import EqualizedConv2D, EqualizedDense
    from stylegan_tf.networks.generator import Generator
    from stylegan_tf.networks.layers import (
        AdaIN,
        LearnedConstant,
        MinibatchStddev,
        ScaledNoise,
    )
    from stylegan_tf.networks.mapping import Mapping
    from stylegan_tf.networks.stylegan2 import ModulatedConv2D, StyleGAN2Synthesis
    from stylegan_tf.networks.synthesis import Synthesis
    from stylegan_tf.projector import (
        drag_points,
        encode_images,
        load_encoder,
        project,
        train_encoder,
        tune,
    )
    from stylegan_tf.runs.train import TrainingRun, train
    from stylegan_tf.sampling import Renderer, draw, styles
    from stylegan_tf.sampling.steering import Steering
    from stylegan_tf.training.trainer import Trainer

__version__ = "0.1.0"
__all__ = [
    "PRESETS",
    "AdaIN",
    "AugmentConfig",
    "Block",
    "Directions",
    "Discriminator",
    "DiscriminatorConfig",
    "Encoder",
    "EqualizedConv2D",
    "EqualizedDense",
    "Generator",
    "GeneratorConfig",
    "Growth",
    "Latents",
    "LearnedConstant",
    "LossConfig",
    "Mapping",
    "MinibatchStddev",
    "ModulatedConv2D",
    "Preset",
    "Renderer",
    "ScaledNoise",
    "ScheduleConfig",
    "Steering",
    "StyleGAN2Synthesis",
    "Synthesis",
    "TrainConfig",
    "Trainer",
    "TrainingRun",
    "UserError",
    "drag_points",
    "draw",
    "encode_images",
    "generate",
    "load",
    "load_encoder",
    "load_inception",
    "load_latents",
    "load_lpips",
    "load_networks",
    "presets",
    "project",
    "register",
    "styles",
    "train",
    "train_encoder",
    "tune",
]

# The imports above, made when a name is first used.
_MODULES = {
    "config": "AugmentConfig DiscriminatorConfig GeneratorConfig Growth LossConfig "
    "ScheduleConfig TrainConfig",
    "config.custom": "register",
    "config.presets": "PRESETS Preset presets",
    "errors": "UserError",
    "latents": "Latents load_latents",
    "latents.directions": "Directions",
    "metrics.features.inception": "load_inception",
    "metrics.features.lpips": "load_lpips",
    "models": "generate load load_networks",
    "networks.block": "Block",
    "networks.discriminator": "Discriminator",
    "networks.encoder": "Encoder",
    "networks.generator": "Generator",
    "networks.equalized": "EqualizedConv2D EqualizedDense",
    "networks.layers": "AdaIN LearnedConstant MinibatchStddev ScaledNoise",
    "networks.mapping": "Mapping",
    "networks.stylegan2": "ModulatedConv2D StyleGAN2Synthesis",
    "networks.synthesis": "Synthesis",
    "projector": "drag_points encode_images load_encoder project train_encoder tune",
    "runs.train": "TrainingRun train",
    "sampling": "Renderer draw styles",
    "sampling.steering": "Steering",
    "training.trainer": "Trainer",
}
_WHERE = {name: room for room, names in _MODULES.items() for name in names.split()}


if not TYPE_CHECKING:  # a checker that sees it would accept any name

    def __getattr__(name: str):
        if name not in _WHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


if not os.environ.get("STYLEGAN_TF_LAZY"):
    for _module in ("networks.generator", "networks.discriminator", "networks.encoder"):
        importlib.import_module(f"{__name__}.{_module}")
