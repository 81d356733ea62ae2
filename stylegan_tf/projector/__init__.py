"""Projection of images into a generator's latent space.

    projection = project(model, images, space="w")
    projection.latents.save("projected.npz")
    tuned = tune(model, projection.latents.ws, images, projection.latents.noise)
    ws = encode_images(train_encoder(model), images)

search       finds styles and noise maps by gradient descent
likeness     distances of images
noise        the penalty that keeps noise maps white
tuning       changes the generator's weights until it draws the images
encoder      trains a network that finds styles at once
adam         the optimizer of all three
resuming     keeps the state of a work that may be stopped
targets      reads the images
report       writes figures, a film and a summary
"""

from stylegan_tf.projector.encoder import (
    EncoderSettings,
    EncoderTrainer,
    encode_images,
    load_encoder,
    measure_encoder,
    train_encoder,
)
from stylegan_tf.projector.likeness import Loss, MultiScale
from stylegan_tf.projector.search import (
    Projection,
    ProjectionSettings,
    Snapshot,
    project,
)
from stylegan_tf.projector.tuning import Tuner, Tuning, TuningSettings, tune

__all__ = [
    "EncoderSettings",
    "EncoderTrainer",
    "Loss",
    "MultiScale",
    "Projection",
    "ProjectionSettings",
    "Snapshot",
    "Tuner",
    "Tuning",
    "TuningSettings",
    "encode_images",
    "load_encoder",
    "measure_encoder",
    "project",
    "train_encoder",
    "tune",
]
