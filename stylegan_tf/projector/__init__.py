"""Projection of images into a generator's latent space.

    projection = project(model, images, space="w")
    projection.latents.save("projected.npz")

search       finds styles and noise maps by gradient descent
likeness     distances of images
noise        the penalty that keeps noise maps white
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

__all__ = [
    "Loss",
    "MultiScale",
    "Projection",
    "ProjectionSettings",
    "Snapshot",
    "project",
]
