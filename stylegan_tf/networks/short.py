"""Convolutions with fewer multiplications, for drawing one picture at a time.

The same sums in another order: convolutions whose kernel is known beforehand can trade
multiplications for additions, which pays on CPUs where maps are small and many. NHWC,
one picture; what is made of a kernel is made once, in NumPy.

`Winograd`: a 3 x 3 convolution, six multiplications where four columns take twelve
(S. Winograd, *Arithmetic Complexity of Computations*, 1980: F(4, 3), along a row).

`Doubling`: a 3 x 3 convolution of doubled pixels. Along one axis, with the taps a, b
and c, K = a + b + c and the differences d[i] = x[i] - x[i - 1],

    y[2i]     = a x[i - 1] + (b + c) x[i] = K x[i] - a d[i]
    y[2i + 1] = (a + b) x[i] + c x[i + 1] = K x[i] + c d[i + 1],

three multiplications where there were four; nine for sixteen in two dimensions.
"""

import numpy as np
import tensorflow as tf

_SIXTH, _TWELFTH, _24TH = 1 / 6, 1 / 12, 1 / 24
KERNEL = np.array(  # taps -> the six products
    [
        [1 / 4, 0, 0],
        [-_SIXTH, -_SIXTH, -_SIXTH],
        [-_SIXTH, _SIXTH, -_SIXTH],
        [_24TH, _TWELFTH, _SIXTH],
        [_24TH, -_TWELFTH, _SIXTH],
        [0, 0, 1],
    ],
    np.float32,
)


class Winograd:
    """A 3 x 3 convolution, stride 1, zero padding.

    Args:
        kernel: float [3, 3, I, O].

    Call arguments:
        x: float32 [1, H, W, I], W a multiple of 4.

    Returns:
        float32 [1, H, W, O].
    """

    def __init__(self, kernel: np.ndarray):
        parts = np.tensordot(KERNEL, np.asarray(kernel, np.float32), (1, 1))
        self.kernels = [tf.constant(part[:, None]) for part in parts]

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        _, h, w, _ = x.shape
        products = [
            tf.nn.conv2d(part, kernel, 1, [[0, 0], [1, 1], [0, 0], [0, 0]])
            for part, kernel in zip(_parts(x), self.kernels, strict=True)
        ]
        columns = tf.stack(_columns(*products), axis=3)  # [1, H, W/4, 4, O]
        return tf.reshape(columns, [1, h, w, -1])


def _parts(x: tf.Tensor) -> list[tf.Tensor]:
    """What the six kernels are multiplied with: [1, H, W/4, I] each."""
    _, h, w, maps = x.shape
    x = tf.pad(x, [[0, 0], [0, 0], [1, 3], [0, 0]])
    x = tf.reshape(x, [1, h, w // 4 + 1, 4, maps])
    a, b, c, d = tf.unstack(x[:, :, :-1], axis=3)  # columns 4j - 1 to 4j + 2
    e, f = x[:, :, 1:, 0], x[:, :, 1:, 1]
    even, odd, near, far = e - 4 * c, d - 4 * b, e - c, 2 * (d - b)
    return [
        4 * (a - c) + near,
        even + odd,
        even - odd,
        near + far,
        near - far,
        f - d - 2 * far,
    ]


def _columns(p, q, r, s, t, u) -> list[tf.Tensor]:
    """Four columns of the picture from the six products."""
    even, odd, more, less = q + r, q - r, s + t, s - t
    return [
        p + even + more,
        odd + 2 * less,
        even + 4 * more,
        odd + 8 * less + u,
    ]


class Doubling:
    """Every pixel twice in both directions, then a 3 x 3 convolution, zero padding.

    Args:
        kernel: float [3, 3, I, O].

    Call arguments:
        x: float32 [1, H, W, I].

    Returns:
        float32 [1, 2H, 2W, O].
    """

    def __init__(self, kernel: np.ndarray):
        # Rows, then columns: "=" for K, "-" of even and "+" of odd pixels' differences.
        k = np.asarray(kernel, np.float32)
        both = {
            y + x: taps
            for y, row in _sides(k).items()  # [3, I, O]
            for x, taps in _sides(row).items()  # [I, O]
        }
        beside = [("==",), ("=-", "=+"), ("-=", "+="), ("--", "-+", "+-", "++")]
        self.kernels = [
            tf.constant(np.concatenate([both[n] for n in names], -1), tf.float32)
            for names in beside
        ]

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        _, h, w, _ = x.shape
        same, right, down, across = (
            tf.nn.conv2d(part, kernel[None, None], 1, "VALID")
            for part, kernel in zip(_differences(x), self.kernels, strict=True)
        )
        right = _shifted(right, 2, [(0, 0), (0, 1)])
        down = _shifted(down, 2, [(0, 0), (1, 0)])
        across = _shifted(across, 4, [(0, 0), (0, 1), (1, 0), (1, 1)])
        rows = []
        for y in range(2):
            row = same + down[y]
            pair = [row + right[z] + across[2 * y + z] for z in range(2)]
            rows.append(tf.stack(pair, axis=3))  # [1, H, W, 2, O]
        return tf.reshape(tf.stack(rows, axis=2), [1, 2 * h, 2 * w, -1])


def _sides(taps: np.ndarray) -> dict[str, np.ndarray]:
    """The three factors along the first axis, which goes."""
    return {"=": taps.sum(axis=0), "-": -taps[0], "+": taps[2]}


def _differences(x: tf.Tensor) -> list[tf.Tensor]:
    """x, and what it differs by to the right, downwards, and in both directions.

    [1, H, W, I], [1, H, W + 1, I], [1, H + 1, W, I], [1, H + 1, W + 1, I], the first
    and last ones from and to zero.
    """
    wide = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    right = wide[:, :, 1:] - wide[:, :, :-1]
    middle = wide[:, :, 1:-1]
    down = middle[:, 1:] - middle[:, :-1]
    return [x, right[:, 1:-1], down, right[:, 1:] - right[:, :-1]]


def _shifted(x: tf.Tensor, count: int, starts: list[tuple[int, int]]) -> list:
    """Equal groups of maps, each from its own row and column on, all of one size."""
    _, h, w, _ = x.shape
    h, w = h - max(y for y, _ in starts), w - max(z for _, z in starts)
    parts = tf.split(x, count, axis=3)
    return [
        part[:, y : y + h, z : z + w]
        for part, (y, z) in zip(parts, starts, strict=True)
    ]
