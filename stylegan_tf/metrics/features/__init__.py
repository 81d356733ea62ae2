"""Opens a feature network by what the command line calls it.

    builtin               small, trained on the data set's own factors; no download
    random                random convolutions; no training, no download
    keras:NAME            a network of keras.applications with ImageNet weights
    inception:FILE        the Inception network of 2015, the one of published numbers
    vgg16-lpips:FILE      VGG16 with the weights of LPIPS, for published path lengths

FILE is a path or an address. What a network must have, and may, says
`features.FeatureNetwork`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylegan_tf.errors import UserError

if TYPE_CHECKING:
    from stylegan_tf.metrics.features.inception import Inception
    from stylegan_tf.metrics.features.lpips import LPIPS

SPECS = ("builtin", "random", "keras:NAME", "inception:FILE", "vgg16-lpips:FILE")
# What only some networks can do -> which ones can, in words.
ABLE = {
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
):
    """The feature network that `spec` names, ready for use.

    Args:
        spec: one of the forms in the module's docstring.
        data: folder of the data set that is measured against; `builtin` learns from it.
        channels: of the pictures.
        cache: folder for what is made or fetched once; None = the default one.

    Returns:
        A `features.FeatureNetwork`.

    Raises:
        UserError: no such network, or it cannot be opened.
    """
    kind, colon, rest = spec.partition(":")
    if kind == "random" and not colon:
        from stylegan_tf.metrics.features.base import RandomFeatures

        return RandomFeatures(channels)
    if kind == "builtin" and not colon:
        from stylegan_tf.metrics.features import builtin_own

        return builtin_own.load(data=data, cache=cache)
    if kind == "keras" and rest:
        from stylegan_tf.metrics.features import keras_applications

        return keras_applications.load(rest)
    if kind in ("inception", "vgg16-lpips") and rest:
        from stylegan_tf.metrics import features

        loaders = {"inception": "load_inception", "vgg16-lpips": "load_lpips"}
        return getattr(features, loaders[kind])(rest, cache)
    raise UserError(
        f"there is no feature network {spec!r}; choose one of {', '.join(SPECS)}."
    )


def lacks(network, needs: Sequence[str]) -> str | None:
    """Why a network cannot compute what needs these abilities, or None if it can."""
    for ability in needs:
        if not callable(getattr(network, ability, None)):
            what, who = ABLE.get(ability, (ability, "another one"))
            return f"{network.name} has no {what}; {who} has"
    return None


def load_inception(path: str | Path, cache: str | Path | None = None) -> "Inception":
    """The network of the published FIDs; see `inception.load`."""
    from stylegan_tf.metrics.features import inception  # which loads TensorFlow

    return inception.load(path, cache)


def load_lpips(path: str | Path, cache: str | Path | None = None) -> "LPIPS":
    """The perceptual distance of the published PPLs; see `lpips.load`."""
    from stylegan_tf.metrics.features import lpips  # which loads TensorFlow

    return lpips.load(path, cache)
