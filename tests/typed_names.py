"""Every public name, used as its hints allow; `pyright` reads it, nothing runs it.

A name whose type the checker cannot see fails here, since an unknown type is none of
those that are asserted.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import numpy as np

import stylegan_tf as sg


def configs() -> sg.TrainConfig:
    """A run on paper."""
    generator = assert_type(sg.GeneratorConfig(resolution=64), sg.GeneratorConfig)
    assert_type(sg.Growth(32, 0.5).alpha_at(32), float)
    discriminator = sg.DiscriminatorConfig(resolution=64)
    assert_type(discriminator.fmap_max, int)
    loss = assert_type(sg.LossConfig(r1_gamma=1.0), sg.LossConfig)
    schedule = assert_type(sg.ScheduleConfig(batch=8), sg.ScheduleConfig)
    augment = assert_type(sg.AugmentConfig(kind="ada"), sg.AugmentConfig)
    assert_type(sg.PRESETS["demo"].summary, str)
    return assert_type(
        sg.TrainConfig(generator, discriminator, loss, schedule, augment),
        sg.TrainConfig,
    )


def networks() -> None:
    """The networks and the layers that they are made of."""
    config = configs()
    assert_type(sg.Generator(config.generator), sg.Generator)
    assert_type(sg.Mapping(config.generator), sg.Mapping)
    assert_type(sg.Synthesis(config.generator), sg.Synthesis)
    assert_type(sg.StyleGAN2Synthesis(config.generator), sg.StyleGAN2Synthesis)
    assert_type(sg.Discriminator(config.discriminator), sg.Discriminator)
    assert_type(sg.EqualizedDense(8), sg.EqualizedDense)
    assert_type(sg.EqualizedConv2D(8, resample="up"), sg.EqualizedConv2D)
    assert_type(sg.ModulatedConv2D(8, demodulate=False), sg.ModulatedConv2D)
    assert_type(sg.LearnedConstant((4, 4, 8)), sg.LearnedConstant)
    assert_type(sg.ScaledNoise(), sg.ScaledNoise)
    assert_type(sg.AdaIN(), sg.AdaIN)
    assert_type(sg.MinibatchStddev(group=4), sg.MinibatchStddev)


def train(data: Path) -> None:
    """A run without the run directory's comfort."""
    trainer = assert_type(sg.Trainer(configs(), data, "run"), sg.Trainer)
    assert_type(trainer.config, sg.TrainConfig)
    assert_type(trainer.restore(), bool)
    assert_type(trainer.total, int)
    assert_type(trainer.train(), str)


def draw(path: Path) -> None:
    """A model, its styles and its images."""
    model = assert_type(sg.load(path), sg.Generator)
    assert_type(
        sg.load_networks("x.pkl"),
        tuple[sg.Generator | None, sg.Discriminator | None, sg.Generator | None],
    )
    ws = assert_type(sg.styles(model, range(4), psi=0.7, classes=[0, 1]), np.ndarray)
    images = sg.draw(model, [1, 2], psi=[1.0, 0.5], noise="none")
    assert_type(images, Iterator[tuple[int, np.ndarray]])
    renderer = assert_type(sg.Renderer(model, resolution=32), sg.Renderer)
    assert_type(renderer(ws), np.ndarray)
    steering = assert_type(sg.Steering(model, psi=0.7), sg.Steering)
    assert_type(steering(ws, np.zeros(4, int)), np.ndarray)


def find(model: sg.Generator, images: np.ndarray) -> None:
    """Styles of a photo, on disk, and moved along a direction."""
    projection = sg.project(model, images, space="wplus", steps=100)
    latents = assert_type(projection.latents, sg.Latents)
    path = assert_type(latents.save("photo.npz"), Path)
    assert_type(sg.load_latents(path, 8, 512).ws, np.ndarray)
    vectors, scales = np.zeros((1, 512), np.float32), np.ones(1, np.float32)
    directions = sg.Directions(("age",), vectors, scales, scales, "by hand")
    assert_type(directions.step("age"), np.ndarray)


def measure(cache: Path) -> None:
    """The feature networks of published metrics, and what their paths may raise."""
    try:
        assert_type(sg.load_inception("classify_image_graph_def.pb", cache).name, str)
        assert_type(sg.load_lpips("weights/", cache).name, str)
    except sg.UserError as error:
        assert_type(str(error), str)
