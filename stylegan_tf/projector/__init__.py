"""Projection: the styles and noise maps that draw a given picture.

    found = project(model, pictures, space="w")
    found.latents.save("projected.npz")

`search` finds them, `likeness` says how unlike two pictures look, `noise` keeps the
noise maps noise, `report` shows what was found.
"""

from stylegan_tf.projector.likeness import Loss, MultiScale
from stylegan_tf.projector.search import Projection, Settings, Snapshot, project

__all__ = ["Loss", "MultiScale", "Projection", "Settings", "Snapshot", "project"]
