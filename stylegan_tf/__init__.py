"""StyleGAN for TensorFlow 2 and Keras 3.

    import stylegan_tf

    generator = stylegan_tf.load("runs/00000-demo-demo")
    pictures = [p for _, p in stylegan_tf.draw(generator, seeds=range(8), psi=0.7)]

The public names are those below. Importing the package registers the layers with
Keras, so that `keras.models.load_model` knows them; where the environment variable
STYLEGAN_TF_LAZY is set, as the launch scripts do, nothing is loaded before it is used.
"""

import importlib
import os

_WHERE = {
    "AdaIN": "networks.layers",
    "Directions": "latents.directions",
    "Discriminator": "networks.discriminator",
    "DiscriminatorConfig": "config",
    "EqualizedConv2D": "networks.equalized",
    "EqualizedDense": "networks.equalized",
    "Generator": "networks.generator",
    "GeneratorConfig": "config",
    "Growth": "config",
    "LearnedConstant": "networks.layers",
    "LossConfig": "config",
    "Mapping": "networks.mapping",
    "MinibatchStddev": "networks.layers",
    "Latents": "latents",
    "ModulatedConv2D": "networks.stylegan2",
    "PRESETS": "config.presets",
    "ScaledNoise": "networks.layers",
    "ScheduleConfig": "config",
    "Renderer": "sampling",
    "Steering": "sampling.steering",
    "StyleGAN2Synthesis": "networks.stylegan2",
    "AugmentConfig": "config",
    "Synthesis": "networks.synthesis",
    "TrainConfig": "config",
    "Trainer": "training.trainer",
    "UserError": "errors",
    "draw": "sampling",
    "load": "models",
    "load_inception": "metrics.features",
    "load_lpips": "metrics.features",
    "load_latents": "latents",
    "load_networks": "models",
    "project": "projector",
    "styles": "sampling",
}
__all__ = sorted(_WHERE)
__version__ = "0.1.0"


def __getattr__(name: str):
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


if not os.environ.get("STYLEGAN_TF_LAZY"):
    for _module in ("networks.generator", "networks.discriminator"):
        importlib.import_module(f"{__name__}.{_module}")
