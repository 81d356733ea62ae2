"""Projection of images into a generator's latent space.

    projection = project(model, images, space="w")
    projection.latents.save("projected.npz")
    tuned = tune(model, projection.latents.ws, images, projection.latents.noise)
    dragged = drag_points(model, ws, handles=[(20, 31)], targets=[(26, 31)])
    ws = encode_images(train_encoder(model), images)

search       finds styles and noise maps by gradient descent
likeness     distances of images
noise        the penalty that keeps noise maps white
tuning       changes the generator's weights until it draws the images
drag         moves points of an image to other places
encoder      trains a network that finds styles at once
adam         the optimizer of all four
resuming     keeps the state of a work that may be stopped
targets      reads the images, and masks
report       writes figures, a film and a summary
"""

from stylegan_tf.projector.drag import Dragged, Dragger, DragSettings, drag_points
from stylegan_tf.projector.encoder import (
    EncoderSettings,
    EncoderTrainer,
    encode_images,
    load_encoder,
    measure_encoder,
    train_encoder,
)
from stylegan_tf.projector.likeness import Loss, MultiScale
from stylegan_tf.projector.search import Projection, Snapshot, project
from stylegan_tf.projector.settings import ProjectionSettings, default_settings
from stylegan_tf.projector.tuning import Tuner, Tuning, TuningSettings, tune

__all__ = [
    "DragSettings",
    "Dragged",
    "Dragger",
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
    "default_settings",
    "drag_points",
    "encode_images",
    "load_encoder",
    "measure_encoder",
    "project",
    "train_encoder",
    "tune",
]
