"""Renders images with a generator: seeds to styles to images, steered or not."""

from stylegan_tf.sampling.centers import (
    CENTER_LATENTS,
    PSI_CENTERS,
    chosen_classes,
    class_centers,
    class_ids_of,
    map_latents,
    sample_w,
    truncation_centers,
)
from stylegan_tf.sampling.renderer import (
    BATCH,
    SMALL,
    Renderer,
    Steer,
    batch_size,
    draw,
    drawn_styles,
    image_multiplications,
    stored_noise,
    styles,
)
from stylegan_tf.sampling.style_batch import StyleBatch, interpolate_styles

__all__ = [
    "BATCH",
    "CENTER_LATENTS",
    "PSI_CENTERS",
    "Renderer",
    "SMALL",
    "Steer",
    "StyleBatch",
    "batch_size",
    "chosen_classes",
    "class_centers",
    "class_ids_of",
    "draw",
    "drawn_styles",
    "image_multiplications",
    "interpolate_styles",
    "map_latents",
    "sample_w",
    "stored_noise",
    "styles",
    "truncation_centers",
]
