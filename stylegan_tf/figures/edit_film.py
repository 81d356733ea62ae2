"""A film from a picture as it is to what edits make of it.

    frames = edit_frames(render, plain, edited, frames=60)
    write_video("smile.mp4", frames, fps=30)

It may begin with a photograph, which fades to the picture that a model draws of it.
"""

from collections.abc import Callable, Iterator

import numpy as np

HOLD = 2 / 3  # of a second: how long the ends are shown


def edit_frames(
    render: Callable[[np.ndarray], np.ndarray],
    plain: np.ndarray,
    edited: np.ndarray,
    frames: int = 60,
    fps: float = 30,
    loop: bool = False,
    photo: np.ndarray | None = None,
    batch: int = 8,
) -> Iterator[np.ndarray]:
    """Yields the images of a film on a straight line in W, uint8 [H, W, C].

    Args:
        render: draws styles, float32 [n, num_styles, w_dim], as uint8 [n, H, W, C].
        plain: styles of the picture as it is, [1, num_styles, w_dim].
        edited: styles of what it becomes, [1, num_styles, w_dim].
        frames: steps from end to end.
        fps: frames per second.
        loop: go back to the beginning.
        photo: begin with this image, uint8 [H, W, C], and fade to the picture.
        batch: styles that are drawn at once.
    """
    shares = np.arange(frames + 1, dtype=np.float32)[:, None, None] / frames
    way, hold = plain + shares * (edited - plain), round(HOLD * fps)
    fade: list[np.ndarray] = []
    if photo is not None:
        fade = [photo] * hold + _fade(photo, render(plain)[0], frames // 2)
    yield from fade
    yield from _held(_drawn(render, way, batch), hold)
    if loop:
        yield from _drawn(render, way[::-1], batch)
        yield from fade[::-1]


def film_length(
    frames: int, fps: float, loop: bool = False, photo: bool = False
) -> int:
    """Returns the number of images of `edit_frames`."""
    hold = round(HOLD * fps)
    fade = (hold + max(frames // 2 - 1, 0)) * photo
    return (frames + 1 + fade) * (1 + loop) + 2 * hold


def _fade(a: np.ndarray, b: np.ndarray, steps: int) -> list[np.ndarray]:
    """Returns images between two, without these."""
    shares = np.arange(1, steps) / max(steps, 1)
    return [np.rint(a + s * (b.astype(float) - a)).astype(np.uint8) for s in shares]


def _drawn(render: Callable, ws: np.ndarray, batch: int) -> Iterator[np.ndarray]:
    for start in range(0, len(ws), batch):
        yield from render(ws[start : start + batch])


def _held(images: Iterator[np.ndarray], hold: int) -> Iterator[np.ndarray]:
    """Yields images, the first and the last one longer."""
    image = next(images)
    yield from [image] * (hold + 1)
    for image in images:
        yield image
    yield from [image] * hold
