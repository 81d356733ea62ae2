"""Projection of images into a generator's latent space.

    projection = project(model, images, space="w")
    projection.latents.save("projected.npz")
    tuned = tune(model, projection.latents.ws, images, projection.latents.noise)

search       finds styles and noise maps by gradient descent
likeness     distances of images
noise        the penalty that keeps noise maps white
tuning       changes the generator's weights until it draws the images
adam         the optimizer of both
targets      reads the images
report       writes figures, a film and a summary
"""

from stylegan_tf.projector.likeness import Loss, MultiScale
from stylegan_tf.projector.search import (
    Projection,
    ProjectionSettings,
    Snapshot,
    project,
)
from stylegan_tf.projector.tuning import Tuner, Tuning, TuningSettings, tune

__all__ = [
    "Loss",
    "MultiScale",
    "Projection",
    "ProjectionSettings",
    "Snapshot",
    "Tuner",
    "Tuning",
    "TuningSettings",
    "project",
    "tune",
]
