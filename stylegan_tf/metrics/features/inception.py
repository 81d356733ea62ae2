"""The Inception network of 2015, the network of published FID, KID and IS.

Heusel et al. 2017 (FID) and Salimans et al. 2016 (IS) use one frozen graph,
`classify_image_graph_def.pb`. Its input is an image of any size in [0, 255]. The graph
resizes it to 299 x 299 (TensorFlow 1's bilinear: no antialias, pixel 0 onto pixel 0)
and maps it to (x - 128) / 128. The features are `pool_3`. The class probabilities are
the softmax of `pool_3` times `softmax/weights`, without the biases, as in the code of
Salimans et al. The same weights exist as a PyTorch file; both files give the same
numbers here.
"""

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf.errors import UserError
from stylegan_tf.files import checksum
from stylegan_tf.formats import torch_files
from stylegan_tf.metrics.features import files, frozen_graph, inception_torch
from stylegan_tf.metrics.features.base import in_batches

NAME = "inception-2015"
GRAPH = "classify_image_graph_def.pb"
ARCHIVE = "inception-2015-12-05.tgz"
FEED, POOL, WEIGHTS = "ExpandDims", "pool_3", "softmax/weights"
PREPROCESSING = ("ResizeBilinear", "Sub", "Mul")  # nodes, named as their operations
PUBLISHED = (2048, 1008)  # features, classes
SIDE = 299
BATCH = 50
LARGEST = 1 << 30  # bytes of a graph in an archive; the published one has 96 million


class Inception:
    """The Inception network: 2048 features, 1008 class probabilities.

    Args:
        pooled: maps float [N, H, W, 3] in [0, 255] to [N, ..., features].
        classes: kernel of the last layer, [features, classes].
        checksum: SHA-256 of the file.

    Attributes:
        name: "inception-2015"; a network of another size than the published one is
            named "inception-2015-like-" and the first digits of its checksum.
        size: length of a feature vector.
        checksum: SHA-256 of the file.
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
        """Maps uint8 [N, H, W, 1 or 3] of any size to features, float32 [N, size]."""
        return in_batches(self._features, images, BATCH, self.size)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Maps uint8 [N, H, W, 1 or 3] to class probabilities, float32 [N, classes]."""
        return in_batches(self._probabilities, images, BATCH, self._classes.shape[1])


def load_inception(place: str | Path, cache: str | Path | None = None) -> Inception:
    """Opens the Inception network of published FIDs.

    Args:
        place: path or URL of `classify_image_graph_def.pb`, of the archive
            `inception-2015-12-05.tgz` that has it (or the folder that it was unpacked
            to), or of `pt_inception-2015-12-05-6726825d.pth`.
        cache: folder of downloads, see `fetch_file`.

    Raises:
        UserError: the file is not there, damaged, or of another network.
    """
    path = files.fetch_file(place, cache)
    if path.is_dir():
        path = _within(path)
    with open(path, "rb") as f:
        head = f.read(16)
    sha256 = checksum(path)
    if torch_files.is_torch(head):
        pooled, classes = inception_torch.inception_from_torch(
            torch_files.read_state_dict(path), path
        )
        return Inception(_preprocessed(pooled), classes, sha256)
    frozen = frozen_graph.parse_graph(_bytes(path), path)
    classes = frozen_graph.graph_constant(frozen, WEIGHTS, path)
    if classes.ndim != 2:
        raise UserError(f"{path}: {WEIGHTS} has shape {classes.shape}, not two sides.")
    operations = {node.name: node.op for node in frozen.node}
    for name in PREPROCESSING:
        if operations.get(name) != name:
            raise UserError(f"{path} has no node {name!r}: it is another graph.")
    pooled = frozen_graph.graph_function(frozen, FEED, POOL, path)
    return Inception(pooled, classes, sha256)


def _within(folder: Path) -> Path:
    """Returns the published file in a folder."""
    for pattern in (GRAPH, ARCHIVE, "*inception-2015-12-05*.pth"):
        for path in sorted(folder.glob(pattern)):
            return path
    raise UserError(f"{folder} has neither {GRAPH} nor {ARCHIVE} in it.")


def _bytes(path: Path) -> bytes:
    """Reads the graph's bytes from a file or an archive."""
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


def _preprocessed(pooled: Callable) -> Callable:
    """Prepends the graph's preprocessing to the PyTorch file's network."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)])
    def from_images(images: tf.Tensor) -> tf.Tensor:
        x = tf.raw_ops.ResizeBilinear(images=images, size=[SIDE, SIDE])
        return pooled((x - 128) / 128)

    return from_images
