"""Truncation centers: the mean w of all images, or of one class.

Truncation of a conditional model moves every w towards the mean of its own class. The
stored w_avg is the mean over all classes: close to it, a class loses what tells it
apart from the others.
"""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from stylegan_tf import latents
from stylegan_tf.errors import UserError
from stylegan_tf.networks.generator import Generator
from stylegan_tf.progress import ProgressBar

PSI_CENTERS = ("global", "class")
CENTER_SEED, CENTER_LATENTS, CENTER_BATCH = 0, 10_000, 1_000
VECTOR_LATENTS = 1_000  # per label vector: every image may have another one
NO_CENTERS = (
    "the model is unconditional, so it has no per-class centers; use "
    "--psi_center=global."
)


def map_latents(
    model: Generator, z: np.ndarray, class_ids: Sequence[int] | np.ndarray = ()
) -> np.ndarray:
    """Maps many latents, in batches of one size.

    Args:
        model: the generator.
        z: float [N, z_dim].
        class_ids: int [N], for a conditional model.

    Returns:
        w, float32 [N, w_dim].
    """
    c, parts, size = model.config, [], min(CENTER_BATCH, max(len(z), 1))
    for start in range(0, len(z), size):
        rows = np.minimum(np.arange(start, start + size), len(z) - 1)
        labels = None
        if c.classes:
            labels = labels_of(model, np.asarray(class_ids, int)[rows])
        w = model.mapping(tf.constant(z[rows], tf.float32), labels).numpy()
        parts.append(w[: len(z) - start])
    return np.concatenate(parts or [np.zeros((0, c.w_dim), np.float32)])


def sample_w(model: Generator, count: int = CENTER_LATENTS) -> np.ndarray:
    """Returns w of fixed random latents, classes in turn: float32 [count, w_dim]."""
    c = model.config
    z = np.random.RandomState(CENTER_SEED).randn(count, c.z_dim)
    return map_latents(model, z, class_ids_of(model, count))


# ---------------------------------------------------------------------------
# Labels. A class, and a label vector of the training data, is named by its number.


def label_table(model: Generator) -> np.ndarray | None:
    """Returns the label vectors that numbers stand for; None for one-hot classes.

    They are those given with `give_labels`, or those of some training images.

    Returns:
        float32 [rows, classes], or None.
    """
    given = getattr(model, "given_labels", None)
    if given is None and model.config.label_examples:
        return model.label_examples.numpy()
    return given


def label_count(model: Generator) -> int:
    """Returns the number of labels that drawings take in turn; 0 = unconditional."""
    table = label_table(model)
    return model.config.classes if table is None else len(table)


def labels_of(model: Generator, class_ids: Sequence[int] | np.ndarray) -> np.ndarray:
    """Returns the labels of numbers, float32 [N, classes]."""
    table = label_table(model)
    if table is None:
        return latents.one_hot(class_ids, model.config.classes)
    return np.asarray(table[np.asarray(class_ids, int)], np.float32)


def give_labels(model: Generator, rows: np.ndarray) -> None:
    """Lets a conditional model draw with these labels, in place of its own.

    Args:
        model: the generator.
        rows: [N, classes]; image number i takes row i, i + N, ...

    Raises:
        UserError: the model takes others, or numbers are not finite.
    """
    rows, width = np.asarray(rows, np.float32), model.config.classes
    if not width:
        raise UserError("the model is unconditional; it takes no labels.")
    if rows.ndim != 2 or rows.shape[1] != width or not len(rows):
        raise UserError(
            f"labels of the shape {list(rows.shape)} were given; the model takes "
            f"{width} numbers for each."
        )
    if not np.isfinite(rows).all():
        raise UserError("labels were given with numbers that are not finite.")
    model.given_labels = rows


@contextlib.contextmanager
def labels_given(model: Generator, rows: np.ndarray) -> Iterator[None]:
    """Lets a model draw with these labels for a while; see `give_labels`."""
    before = getattr(model, "given_labels", None)
    give_labels(model, rows)
    try:
        yield
    finally:
        model.given_labels = before


def chosen_classes(model: Generator, classes: Sequence[int] | None = None) -> list[int]:
    """Returns `classes` as integers, or all of the model's if there are none.

    Raises:
        UserError: the model does not have them.
    """
    count = label_count(model)
    if classes and not count:
        raise UserError("the model has no classes; leave --classes out.")
    kind = "class" if label_table(model) is None else "label"
    classes = [int(k) for k in classes or range(count)]
    for k in classes:
        if not 0 <= k < count:
            raise UserError(
                f"{kind} {k} was asked for; the model has 0 to {count - 1}."
            )
    return classes


def class_ids_of(
    model: Generator, count: int, classes: Sequence[int] | None = None
) -> np.ndarray:
    """Returns the classes that `count` images take in turn.

    Args:
        model: the generator.
        count: images.
        classes: class numbers; None = all of the model's.

    Returns:
        int [count]; [0] for an unconditional model.

    Raises:
        UserError: the model does not have these classes.
    """
    chosen = chosen_classes(model, classes)
    return np.resize(np.asarray(chosen, int), count if chosen else 0)


def class_centers(
    model: Generator,
    classes: Sequence[int] | None = None,
    count: int | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Returns the mean w of classes, which truncation moves their images towards.

    It is the mean of `mapping(z, label)` over fixed latents, the same for every class:
    a function of the weights alone, wherever they were loaded from.

    Args:
        model: a conditional generator.
        classes: class numbers; None = all of them.
        count: latents per class; None = CENTER_LATENTS, fewer for label vectors.
        progress: show a bar.

    Returns:
        float32 [classes, w_dim].

    Raises:
        UserError: the model is unconditional, or does not have these classes.
    """
    c = model.config
    if not c.classes:
        raise UserError(NO_CENTERS)
    classes = chosen_classes(model, classes)
    vectors = label_table(model) is not None
    count = count or (VECTOR_LATENTS if vectors else CENTER_LATENTS)
    z = np.random.RandomState(CENTER_SEED).randn(count, c.z_dim).astype(np.float32)
    out = np.zeros((len(classes), c.w_dim), np.float32)
    bar = ProgressBar(classes, "means of w", progress, unit="class")
    for i, k in enumerate(bar):
        w = map_latents(model, z, [k] * count)
        out[i] = w.mean(axis=0, dtype=np.float64)
    return out


def truncation_centers(
    model: Generator,
    class_ids: np.ndarray,
    psi_center: str | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Returns the w that truncation moves images of these classes towards.

    Args:
        model: the generator.
        class_ids: int [N], one per image; [0] for an unconditional model.
        psi_center: "class", "global", or None; see `sampling.draw`.
        progress: show a bar.

    Returns:
        float32 [N or 1, 1, w_dim].

    Raises:
        UserError: no such center, or no classes to have one of.
    """
    conditional = model.config.classes > 0
    psi_center = psi_center or ("class" if conditional else "global")
    if psi_center not in PSI_CENTERS:
        known = " or ".join(PSI_CENTERS)
        raise UserError(f"psi_center is {psi_center!r}; choose {known}.")
    if psi_center == "class" and not conditional:
        raise UserError(NO_CENTERS)
    if psi_center == "global" or not len(class_ids):
        return model.w_avg.numpy()[None, None]
    used, rows = np.unique(class_ids, return_inverse=True)
    return class_centers(model, used.tolist(), progress=progress)[rows][:, None]
