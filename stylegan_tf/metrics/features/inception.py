"""The Inception network of 2015, in which the published FID, KID and IS are measured.

Heusel et al. 2017 (FID) and Salimans et al. 2016 (IS) use one frozen graph,
`classify_image_graph_def.pb`. Its input is any picture in [0, 255]; the graph itself
resizes it to 299 x 299 (bilinear as in TensorFlow 1: no antialias, pixel 0 onto pixel
0) and maps it to (x - 128) / 128. Features are `pool_3`; the score's classes are the
softmax of `pool_3` times `softmax/weights`, without the biases, as its authors did.
The weights are also about as a PyTorch file; both run here and give the same numbers.
"""

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf.errors import UserError
from stylegan_tf.formats import torch_files
from stylegan_tf.metrics.features import files, frozen_graph, inception_torch
from stylegan_tf.metrics.features.base import in_parts

NAME = "inception-2015"
GRAPH = "classify_image_graph_def.pb"
ARCHIVE = "inception-2015-12-05.tgz"
FEED, POOL, WEIGHTS = "ExpandDims", "pool_3", "softmax/weights"
PREPARING = ("ResizeBilinear", "Sub", "Mul")  # nodes, named as their operations
PUBLISHED = (2048, 1008)  # features, classes
SIDE = 299
BATCH = 50
LARGEST = 1 << 30  # bytes of a graph within an archive; the published one: 96 million


class Inception:
    """Pictures to the 2048 features of a distance and the 1008 classes of a score.

    Args:
        pooled: float [N, H, W, 3] in [0, 255] to [N, ..., features].
        classes: of the last layer, [features, classes].
        checksum: SHA-256 of the file.

    Attributes:
        name: "inception-2015"; a network of other sizes than the published one has
            "-like-" and the beginning of its checksum added.
        size: of a vector of features.
        checksum: as given.
    """

    def __init__(self, pooled: Callable, classes: np.ndarray, checksum: str):
        self.size, self.checksum = len(classes), checksum
        known = classes.shape == PUBLISHED
        self.name = NAME if known else f"{NAME}-like-{checksum[:8]}"
        self._pooled, self._classes = pooled, tf.constant(classes, tf.float32)

    def _features(self, images: tf.Tensor) -> tf.Tensor:
        return tf.reshape(self._pooled(tf.cast(images, tf.float32)), [-1, self.size])

    def _probabilities(self, images: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(tf.matmul(self._features(images), self._classes))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, H, W, 1 or 3] of any size to float32 [N, features]."""
        return in_parts(self._features, images, BATCH, self.size)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, H, W, 1 or 3] to float32 [N, classes], each row with sum 1."""
        return in_parts(self._probabilities, images, BATCH, self._classes.shape[1])


def load(place: str | Path, cache=None) -> Inception:
    """The network of a published file.

    Args:
        place: path or URL of `classify_image_graph_def.pb`, of the archive
            `inception-2015-12-05.tgz` that has it (or the folder that it was unpacked
            to), or of `pt_inception-2015-12-05-6726825d.pth`.
        cache: folder of downloads, see `files.fetch`.

    Raises:
        UserError: the file is not there, damaged, or of another network.
    """
    path = files.fetch(place, cache)
    if path.is_dir():
        path = _within(path)
    with open(path, "rb") as f:
        head = f.read(16)
    found = files.checksum(path)
    if torch_files.is_torch(head):
        pooled, classes = inception_torch.network(
            torch_files.read_state_dict(path), path
        )
        return Inception(_prepared(pooled), classes, found)
    frozen = frozen_graph.parse(_bytes(path), path)
    classes = frozen_graph.constant(frozen, WEIGHTS, path)
    if classes.ndim != 2:
        raise UserError(f"{path}: {WEIGHTS} has shape {classes.shape}, not two sides.")
    _check(frozen, path)
    pooled = frozen_graph.function(frozen, FEED, POOL, path)
    return Inception(pooled, classes, found)


def _within(folder: Path) -> Path:
    """The published file in a folder."""
    for pattern in (GRAPH, ARCHIVE, "*inception-2015-12-05*.pth"):
        for path in sorted(folder.glob(pattern)):
            return path
    raise UserError(f"{folder} has neither {GRAPH} nor {ARCHIVE} in it.")


def _bytes(path: Path) -> bytes:
    """The graph's bytes, of the file itself or out of an archive."""
    if not tarfile.is_tarfile(path):
        return path.read_bytes()
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if Path(member.name).name == GRAPH and member.isfile():
                    if member.size > LARGEST:
                        raise UserError(f"{path}: {GRAPH} in it is far too large.")
                    return archive.extractfile(member).read()
    except (tarfile.TarError, OSError, EOFError) as e:
        raise UserError(f"{path} is cut short or damaged; download it again.") from e
    raise UserError(f"{path} has no {GRAPH} in it.")


def _check(frozen: frozen_graph.GraphDef, path: Path) -> None:
    """A graph that does not prepare its pictures itself is another one."""
    found = {node.name: node.op for node in frozen.node}
    for name in PREPARING:
        if found.get(name) != name:
            raise UserError(f"{path} has no node {name!r}: it is another graph.")


def _prepared(pooled: Callable) -> Callable:
    """Puts what the graph does to its pictures before a network that lacks it."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)])
    def whole(images: tf.Tensor) -> tf.Tensor:
        x = tf.raw_ops.ResizeBilinear(images=images, size=[SIDE, SIDE])
        return pooled((x - 128) / 128)

    return whole
