"""Drawing images with a generator."""

from stylegan_tf.sampling.renderer import (
    BATCH,
    CENTER_LATENTS,
    PSI_CENTERS,
    SMALL,
    Renderer,
    Steer,
    batch_of,
    class_centers,
    classes_of,
    draw,
    drawn_resolution,
    drawn_styles,
    mapped,
    sample_w,
    stored_noise,
    styles,
)

__all__ = [
    "BATCH",
    "CENTER_LATENTS",
    "PSI_CENTERS",
    "Renderer",
    "SMALL",
    "Steer",
    "batch_of",
    "class_centers",
    "classes_of",
    "draw",
    "drawn_resolution",
    "drawn_styles",
    "mapped",
    "sample_w",
    "stored_noise",
    "styles",
]
