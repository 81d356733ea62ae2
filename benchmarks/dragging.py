"""Drags: does the picture move with the points?

    python benchmarks/dragging.py --models=runs/00000-demo-demo
    python benchmarks/dragging.py --models=RUN32,RUN64

Two points of each seed, where the picture has edges, are dragged into random
directions, by 6 pixels at 64x64 and in proportion at other sizes. The place where the
content has come to is found in the pictures, not by the tracker: by the normalized
correlation of what was around the point, both blurred.

Prints, in Markdown, for each way to move and to track: how often the tracker says that
the point arrived, how often the content is within two pixels of 64 of its target, the
median distance in pixels of 64, and steps per second.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from stylegan_tf_launch import cli

FLAGS, define = cli.flag_set()
define.list("models", [], "Runs or models, with commas.")
define.integer("seeds", 8, "Seeds; each is dragged twice.", lower_bound=1)
define.integer("steps", 150, "Most steps of a drag.", lower_bound=1)
WAYS = {
    "what is around the point now; by its feature": {"content": "now", "patch": 0},
    "what is around the point now; by those around it": {"content": "now"},
    "what was there first; by its feature": {"patch": 0},
    "what was there first; by those around it (default)": {},
}


def main(argv: Sequence[str]) -> int:
    """Drags and prints; returns the exit code."""
    from stylegan_tf.errors import UserError

    if not FLAGS.models:
        raise UserError("name models with --models=RUN,RUN2.")
    cli.load_tensorflow()
    from workers import edits

    from stylegan_tf import models

    head = (
        "moved; tracked",
        "tracker: arrived",
        "content within 2",
        "median",
        "step/s",
    )
    for path in FLAGS.models:
        model = models.load(path)
        rows = [(name, *measure(model, **how)) for name, how in WAYS.items()]
        print(f"{Path(path).name}, {model.growth.resolution} pixels\n")
        print(edits.table(head, rows), flush=True)
    return 0


def measure(model, content: str = "first", patch: int | None = None) -> list[str]:
    """Returns the columns of a way to drag."""
    import numpy as np

    from stylegan_tf import sampling
    from stylegan_tf.projector import Dragger, DragSettings, drag_points

    dragger = Dragger(model, DragSettings(content=content, patch_radius=patch))
    render, size = sampling.Renderer(model), model.growth.resolution
    ws = sampling.styles(model, range(FLAGS.seeds), psi=0.7)
    images, rng = render(ws), np.random.default_rng(0)
    arrived, far, seconds, taken = [], [], 0.0, 0
    for i, image in enumerate(images):
        for _ in range(2):
            at = place_on_an_edge(image, rng)
            angle = rng.uniform(0, 2 * np.pi)
            way = np.rint(size * 6 / 64 * np.array([np.cos(angle), np.sin(angle)]))
            target = np.array(at) + way.astype(int)
            start, how = time.monotonic(), {"steps": FLAGS.steps, "dragger": dragger}
            found = drag_points(model, ws[i : i + 1], [at], [tuple(target)], **how)
            if far:  # the first drag compiles
                seconds, taken = seconds + time.monotonic() - start, taken + found.steps
            arrived.append(found.arrived)
            now = content_at(image, render(found.ws)[0], at)
            far.append(np.hypot(*(now - target)) * 64 / size)
    near = np.array(far) <= 2
    return [
        f"{np.sum(arrived)} of {len(far)}",
        f"{near.sum()} of {len(far)}",
        f"{np.median(far):.1f}",
        f"{taken / max(seconds, 1e-9):.0f}",
    ]


def place_on_an_edge(image, rng) -> tuple[int, int]:
    """Returns a random place, x and y, where a picture changes, not near its border."""
    import numpy as np

    down, right = np.gradient(blurred(image).mean(axis=2))
    weights, margin = down**2 + right**2, len(image) // 8
    inside = np.zeros_like(weights)
    inside[margin:-margin, margin:-margin] = 1
    chances = (weights * inside).ravel()
    y, x = divmod(rng.choice(len(chances), p=chances / chances.sum()), image.shape[1])
    return int(x), int(y)


def content_at(before, after, at: tuple[int, int]):
    """Returns the place, x and y, of what was at a place of a picture before."""
    import numpy as np

    (x, y), radius = at, max(2, len(before) * 5 // 64)
    before, after = blurred(before), blurred(after)
    patch = before[y - radius : y + radius + 1, x - radius : x + radius + 1]
    views = np.lib.stride_tricks.sliding_window_view(after, patch.shape)[:, :, 0]
    a = views - views.mean(axis=(2, 3), keepdims=True)
    b = patch - patch.mean(axis=(0, 1), keepdims=True)
    norms = np.sqrt((a**2).sum(axis=(2, 3, 4)) * (b**2).sum()) + 1e-9
    fit = (a * b).sum(axis=(2, 3, 4)) / norms
    y, x = np.unravel_index(fit.argmax(), fit.shape)
    return np.array([x, y]) + radius


def blurred(image):
    """Returns an image, float [H, W, C], blurred by 1.5 pixels of 64."""
    import numpy as np
    from PIL import Image, ImageFilter

    radius = 1.5 * len(image) / 64
    blur = ImageFilter.GaussianBlur(radius)
    return np.asarray(Image.fromarray(image).filter(blur), float)


if __name__ == "__main__":
    cli.run(main, FLAGS)
