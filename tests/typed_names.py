"""Every public name, used as its hints allow; `pyright` and `mypy` read it.

Nothing runs it. A name whose type the checker cannot see fails here, since an unknown
type is none of those that are asserted.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import numpy as np
import tensorflow as tf
from PIL import Image

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
    assert_type(sg.presets.make("demo", resolution=64, mirror=True), sg.TrainConfig)
    mine = sg.Preset("mine", 64, 64, "", lambda r, n: {"mirror": True}, name="mine")
    assert_type(mine.changes(64, 1), dict[str, object])
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


class Judge(sg.Block):
    """A discriminator of one's own."""

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Scores."""
        return images


def my_loss(fake: tf.Tensor) -> tf.Tensor:
    """A loss of one's own."""
    return -fake


def train(data: Path) -> None:
    """A run from its data to its model."""
    run = assert_type(
        sg.train(data, "demo", 64, 200, gamma=1.0, metrics=["fid5k"]), sg.TrainingRun
    )
    assert_type(run.generator, sg.Generator)
    assert_type(run.sheet, Image.Image)
    assert_type(run.metrics, dict[str, float])
    assert_type(run.stats, list[dict[str, float]])
    assert_type(run.path, Path)
    assert_type(run.config, sg.TrainConfig)
    assert_type(run.resume(kimg=400, callbacks=[]), sg.TrainingRun)
    images, labels = np.zeros((8, 32, 32, 3), np.uint8), np.zeros(8, int)
    sg.train((images, labels), g_loss=my_loss, discriminator=Judge, out="mine")
    sg.train([data / "1.png", data / "2.png"], labels=["a", "b"])
    assert_type(sg.register(g_loss=my_loss), dict[str, str])


def train_step_by_step(data: Path) -> None:
    """A run without the run directory's comfort."""
    trainer = assert_type(sg.Trainer(configs(), data, "run"), sg.Trainer)
    assert_type(trainer.config, sg.TrainConfig)
    assert_type(trainer.restore(), bool)
    assert_type(trainer.total, int)
    assert_type(trainer.train(), str)
    assert_type(trainer.METRICS, tuple[str, ...])
    trainer.save()


def draw(path: Path) -> None:
    """A model, its styles and its images."""
    model = assert_type(sg.load(path), sg.Generator)
    assert_type(
        sg.load_networks("x.pkl"),
        tuple[sg.Generator | None, sg.Discriminator | None, sg.Generator | None],
    )
    ws = assert_type(sg.styles(model, range(4), psi=0.7, classes=[0, 1]), np.ndarray)
    assert_type(sg.generate("run", range(4), psi=0.7), np.ndarray)
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
    tuned = sg.tune(model, latents.ws, images, latents.noise, steps=100)
    assert_type(tuned.images, np.ndarray)
    encoder = assert_type(sg.train_encoder(model, images, steps=100), sg.Encoder)
    assert_type(sg.load_encoder("encoder.keras", model), sg.Encoder)
    assert_type(sg.encode_images(encoder, images), np.ndarray)
    dragged = sg.drag_points(model, latents.ws, [(20, 31)], [(26, 31)], steps=100)
    assert_type(dragged.ws, np.ndarray)
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
