"""Trains `builtin`: one network and one loop, for labels and for none.

The shipped weights come from `on_demo`: pictures drawn for the purpose, other ones than
any data set holds, with the factors they were drawn from. While it trains, every layer
is followed by batch normalization (Ioffe & Szegedy 2015), which `folded` then makes
part of its weights.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from tqdm import tqdm

from stylegan_tf.data import demo
from stylegan_tf.metrics.features.builtin import CONVOLUTIONS, SIDE, SIZE, Head, resized

# Data sets made of the demo use seed 0; these pictures belong to none of them.
TRAIN_SEED, HELD_OUT_SEED = 1, 2
SIZES = {64: 0.5, 32: 0.3, 16: 0.2}  # share of the pictures drawn at each
COUNT, EPOCHS, BATCH, RATE = 24_000, 10, 64, 2e-3
MOMENTUM, EPSILON = 0.95, 1e-3  # of batch normalization

Batch = tuple[tf.Tensor, ...]
DEMO_HEADS = tuple(
    Head(name, len(f.names), f.low, f.high) for name, f in demo.FACTORS.items()
)


def trainable(channels: int, outputs: int, seed: int = 0) -> keras.Model:
    """The network as it is trained.

    Args:
        channels: of its pictures.
        outputs: columns of its heads.
        seed: of the weights.

    Returns:
        float [N, 64, 64, channels] in 0..255 -> features [N, 128], heads [N, outputs].
    """
    kernels = initializers(seed)
    images = keras.Input((SIDE, SIDE, channels))
    x = layers.Rescaling(1 / 127.5, -1)(images)
    for i, (kernel, stride, maps, pool) in enumerate(CONVOLUTIONS):
        convolution = layers.Conv2D(
            maps,
            kernel,
            stride,
            "same",
            use_bias=False,
            kernel_initializer=next(kernels),
            name=f"conv{i}",
        )
        x = layers.ReLU()(_normalized(convolution(x), f"conv{i}"))
        x = layers.AveragePooling2D(pool)(x) if pool > 1 else x
    dense = layers.Dense(
        SIZE, use_bias=False, kernel_initializer=next(kernels), name="dense"
    )
    features = layers.ReLU()(_normalized(dense(layers.Flatten()(x)), "dense"))
    heads = layers.Dense(outputs, kernel_initializer=next(kernels), name="heads")
    return keras.Model(images, [features, heads(features)])


def initializers(seed: int) -> Iterator[keras.initializers.Initializer]:
    """Of one kernel after the other, whatever the process has drawn before."""
    stream = random.Random(seed)
    while True:
        yield keras.initializers.GlorotUniform(stream.randint(1, 10**9))


def _normalized(x, name: str):
    norm = layers.BatchNormalization(
        momentum=MOMENTUM, epsilon=EPSILON, name=f"{name}_norm"
    )
    return norm(x)


def folded(model: keras.Model) -> dict[str, np.ndarray]:
    """Its weights, with the normalization in them: what `Builtin` takes.

    gamma (k * x - mean) / deviation + beta = (k gamma / deviation) * x + bias.
    """
    found = {}
    for name in [*(f"conv{i}" for i in range(len(CONVOLUTIONS))), "dense"]:
        kernel = model.get_layer(name).kernel.numpy()
        norm = model.get_layer(f"{name}_norm")
        scale = norm.gamma.numpy() / np.sqrt(norm.moving_variance.numpy() + EPSILON)
        found[f"{name}/kernel"] = kernel * scale
        found[f"{name}/bias"] = norm.beta.numpy() - norm.moving_mean.numpy() * scale
    found["heads/kernel"], found["heads/bias"] = model.get_layer("heads").get_weights()
    return found


# ---------------------------------------------------------------------------
# The loop


def fit(
    variables: Sequence[keras.Variable],
    loss: Callable[[Batch], tf.Tensor],
    batches: Iterator[Batch],
    steps: int,
    rate: float = RATE,
    progress: bool = False,
    what: str = "training",
) -> list[float]:
    """Adam on a rate that falls to zero along half a cosine.

    Args:
        variables: what is trained.
        loss: a batch to a scalar; it calls models with training=True.
        batches: as many as steps, all of one shape.
        steps: of training.
        rate: the highest learning rate.
        progress: show a bar.
        what: its title.

    Returns:
        The loss of every step.
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=rate, warmup_steps=min(100, steps // 10)
    )
    optimizer = keras.optimizers.Adam(schedule)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step(batch):
        with tf.GradientTape() as tape:
            value = loss(batch)
        gradients = tape.gradient(value, [v.value for v in variables])
        optimizer.apply(gradients, variables)
        return value

    bar = tqdm(total=steps, desc=what, unit="step", disable=None if progress else True)
    history = []
    with bar:
        for _, batch in zip(range(steps), batches, strict=False):
            history.append(float(step(batch)))
            bar.update()
    return history


def head_loss(heads: Sequence[Head], columns: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
    """How wrong the heads are, each against knowing nothing, which costs 1.

    Args:
        heads: of the columns.
        columns: float [N, outputs].
        truth: float [N, len(heads)], a value's index, or a number in [-1, 1].

    Returns:
        A scalar: the mean over heads of cross-entropy / log(values), and of squared
        error / variance, which is 1/3 in [-1, 1].
    """
    parts, at = [], 0
    for i, head in enumerate(heads):
        own, wanted = columns[:, at : at + head.width], truth[:, i]
        if head.values:
            cost = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.cast(wanted, tf.int32), own
            )
            parts.append(tf.reduce_mean(cost) / np.log(max(head.values, 2)))
        else:
            parts.append(3 * tf.reduce_mean(tf.square(own[:, 0] - wanted)))
        at += head.width
    return tf.add_n(parts) / len(parts)


# ---------------------------------------------------------------------------
# The shipped network


def on_demo(
    count: int = COUNT, epochs: int = EPOCHS, seed: int = 0, progress: bool = False
) -> dict[str, np.ndarray]:
    """Trains on faces drawn for the purpose; returns the weights.

    The same arguments give the same weights to the last bit on the same machine, where
    TensorFlow's operations are told to be deterministic; elsewhere sums are rounded in
    another order.

    Args:
        count: pictures; they are drawn at 64, 32 and 16 pixels.
        epochs: how often each is seen, slightly changed each time.
        seed: of weights, order and changes.
        progress: show bars.
    """
    images, truth = mixed_faces(count, TRAIN_SEED, progress)
    model = trainable(3, sum(head.width for head in DEMO_HEADS), seed)

    def loss(batch):
        pictures, wanted, changes, noise = batch
        seen = apply_views(pictures, changes, noise)
        return head_loss(DEMO_HEADS, model(seen, training=True)[1], wanted)

    def batches():
        rng = np.random.default_rng(seed)
        for _ in range(epochs):
            for rows in np.split(rng.permutation(count), range(BATCH, count, BATCH)):
                if len(rows) == BATCH:
                    changes = draw_views(rng, BATCH, SLIGHT)
                    noise = tf.constant(rng.integers(2**31, size=2), tf.int32)
                    yield tf.constant(images[rows]), truth[rows], changes, noise

    steps = epochs * (count // BATCH)
    fit(model.trainable_variables, loss, batches(), steps, progress=progress)
    return folded(model)


def mixed_faces(
    count: int, seed: int, progress: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Faces of all `SIZES`, as the network sees them, and their factors.

    Returns:
        uint8 [count, 64, 64, 3], float32 [count, factors].
    """
    edges = np.round(np.cumsum([0, *SIZES.values()]) * count).astype(int)
    parts = [
        faces(range(a, b), size, seed, progress)
        for size, a, b in zip(SIZES, edges, edges[1:], strict=False)
    ]
    seen = [np.round(_resized(images)).astype(np.uint8) for images, _ in parts]
    return np.concatenate(seen), np.concatenate([truth for _, truth in parts])


def faces(
    indices: Sequence[int], size: int, seed: int, progress: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Faces of the demo at one size, and their factors as `head_loss` takes them.

    Returns:
        uint8 [N, size, size, 3], float32 [N, factors].
    """
    off = None if progress else True
    bar = tqdm(indices, f"drawing at {size}", unit="picture", disable=off)
    images = [demo.draw_face(i, size, seed=seed) for i in bar]
    truth = [targets(demo.factors(i, seed)) for i in indices]
    shape = (0, size, size, 3)
    return np.array(images or np.zeros(shape), np.uint8), np.array(truth, np.float32)


def targets(values: Mapping[str, int | float]) -> list[float]:
    """A picture's factors: an index as it is, a number from its range to [-1, 1]."""
    return [
        values[h.name]
        if h.values
        else 2 * (values[h.name] - h.low) / (h.high - h.low) - 1
        for h in DEMO_HEADS
    ]


def _resized(images: np.ndarray) -> np.ndarray:
    parts = [resized(images[i : i + 500]).numpy() for i in range(0, len(images), 500)]
    return np.concatenate(parts or [np.zeros((0, SIDE, SIDE, 3), np.float32)])


def scores(network, images: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """How well a network names what it has not seen.

    Args:
        network: a `Builtin` with the demo's heads.
        images, truth: as `faces` returns them.

    Returns:
        By factor: accuracy in [0, 1], or R2, 1 - squared error / variance.
    """
    found, out = network.factors(images), {}
    for i, head in enumerate(DEMO_HEADS):
        said = found[head.name]
        if head.values:
            out[head.name] = float(np.mean(said.argmax(axis=1) == truth[:, i]))
            continue
        real = head.low + (truth[:, i] + 1) / 2 * (head.high - head.low)
        out[head.name] = float(1 - np.mean((said - real) ** 2) / np.var(real))
    return out


NAMES = ("right", "down", "zoom", "turn", "light", "contrast", "blur", "noise")
ONE_SIDED = ("blur", "noise")  # from 0 up; the others go both ways
# The largest change: pixels of 64, pixels, log of the factor, radians, steps of 0..255,
# log of the factor, share of the blurred picture, standard deviation in 0..255.
SLIGHT = (1.0, 1.0, 0.02, 0.0, 6.0, 0.06, 0.5, 6.0)
STRONG = (8.0, 8.0, 0.2, 0.25, 30.0, 0.3, 1.0, 24.0)


def draw_views(
    rng: np.random.Generator, n: int, largest: Sequence[float]
) -> np.ndarray:
    """Changes of n pictures, each uniform: float32 [n, 8]."""
    low = [0.0 if name in ONE_SIDED else -1.0 for name in NAMES]
    return (rng.uniform(low, 1.0, (n, len(NAMES))) * largest).astype(np.float32)


def apply_views(images: tf.Tensor, changes: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Changes pictures.

    Args:
        images: [N, H, W, C] in 0..255.
        changes: float [N, 8], as of `NAMES`.
        seed: int [2], of the noise.

    Returns:
        float32 [N, H, W, C] in [0, 255].
    """
    x = tf.cast(images, tf.float32)
    changes = tf.cast(changes, tf.float32)
    *_, light, contrast, blur, noise = (
        c[:, None, None, None] for c in tf.unstack(changes, axis=1)
    )
    x = _moved(x, changes)
    x += blur * (_blurred(x) - x)
    x = (x - 127.5) * tf.exp(contrast) + 127.5 + light
    x += noise * tf.random.stateless_normal(tf.shape(x), seed)
    return tf.clip_by_value(x, 0.0, 255.0)


def _moved(x: tf.Tensor, changes: tf.Tensor) -> tf.Tensor:
    """Turned and zoomed about the center, then shifted; mirrored beyond the edge."""
    right, down, zoom, turn = tf.unstack(changes[:, :4], axis=1)
    middle_x, middle_y = ((s - 1) / 2 for s in (x.shape[2], x.shape[1]))
    # Rows of the inverse map, from a place in the result to one in the picture.
    cos, sin = (f(turn) * tf.exp(-zoom) for f in (tf.cos, tf.sin))
    from_x, from_y = middle_x + right, middle_y + down
    zero = tf.zeros_like(cos)
    rows = [cos, sin, middle_x - cos * from_x - sin * from_y]
    rows += [-sin, cos, middle_y + sin * from_x - cos * from_y, zero, zero]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=x,
        transforms=tf.stack(rows, axis=1),
        output_shape=tf.constant(list(x.shape[1:3])),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _blurred(x: tf.Tensor) -> tf.Tensor:
    """Two means over 3 x 3, of which the edge pixels are averages of what is there."""
    for _ in range(2):
        x = tf.nn.avg_pool2d(x, 3, 1, "SAME")
    return x
