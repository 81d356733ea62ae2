"""Writes films frame by frame: MP4 by imageio and ffmpeg, GIF by Pillow.

    write_video("walk.mp4", frames, fps=30)
    write_video("walk.gif", frames, fps=20)

`frames` may be a generator: one frame is in memory at a time. An MP4 is H.264 with
4:2:0 chroma and its index at the front, which browsers, slides and phones play. A GIF
has one palette per frame, and repeats for ever. No TensorFlow.
"""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import GifImagePlugin, Image

from stylegan_tf.errors import UserError
from stylegan_tf.figures import sheets
from stylegan_tf.files import atomic_write
from stylegan_tf.progress import ProgressBar

KINDS = (".gif", ".mp4")
# Pixels of the shorter side: smaller images are enlarged to about this.
LEAST = {".gif": 160, ".mp4": 256}
FASTEST = {".gif": 50, ".mp4": 240}  # frames per second; browsers slow down faster GIFs


def is_video(path: Path | str) -> bool:
    """True if a file's name is that of a film."""
    return Path(path).suffix.lower() in KINDS


def check_video(path: Path | str, fps: float) -> None:
    """Checks a film's name and speed before an image is rendered.

    Args:
        path: of the film.
        fps: frames per second.

    Raises:
        UserError: a name that is neither .gif nor .mp4, a speed out of range, or no
            library to write it with.
    """
    if not is_video(path):
        raise UserError(f"{path} is written as a film; name it x.mp4 or x.gif.")
    kind = Path(path).suffix.lower()
    if not 1 <= fps <= FASTEST[kind]:
        raise UserError(
            f"{fps:g} frames a second were asked for; a {Path(path).suffix} takes 1 to "
            f"{FASTEST[kind]}."
        )
    if kind == ".mp4":
        try:
            import imageio  # noqa: F401
            import imageio_ffmpeg  # noqa: F401
        except ImportError as error:
            raise UserError(
                'an MP4 needs imageio and ffmpeg: pip install "stylegan_tf[video]". A '
                ".gif does not."
            ) from error


def write_video(
    path: Path | str,
    frames: Iterable[np.ndarray],
    fps: float = 30,
    total: int | None = None,
    progress: bool = False,
    least: int | None = None,
) -> Path:
    """Writes a film, in one step.

    Args:
        path: .gif or .mp4.
        frames: uint8 [H, W, 1, 3 or 4], all of one size; used as they come.
        fps: frames per second; a GIF keeps hundredths of a second per frame.
        total: number of frames, for the bar.
        progress: show a bar.
        least: approximate pixels of the shorter side; None = LEAST.

    Raises:
        UserError: no frames; or see `check_video`.
    """
    check_video(path, fps)
    kind = Path(path).suffix.lower()
    bar = ProgressBar(frames, shown=progress, total=total, unit="frame")
    writer = _write_gif if kind == ".gif" else _write_mp4
    with atomic_write(path) as draft:
        draft.touch()  # fails with a reason, where ffmpeg would not give one
        if not writer(draft, _prepared(bar, least or LEAST[kind]), fps):
            raise UserError(f"{path}: there are no frames to write.")
    return Path(path)


def _prepared(frames: Iterable[np.ndarray], least: int) -> Iterator[np.ndarray]:
    """Yields frames in color, enlarged, with even sides: uint8 [H, W, 3]."""
    for frame in frames:
        image = sheets.rgb(np.asarray(frame, np.uint8))
        factor = sheets.factor_to(*image.shape[:2], least)
        image = sheets.enlarge(image[None], factor)[0]
        odd = [(0, side % 2) for side in image.shape[:2]]
        yield np.ascontiguousarray(np.pad(image, [*odd, (0, 0)], mode="edge"))


def _write_gif(path: Path, frames: Iterator[np.ndarray], fps: float) -> int:
    """Writes a GIF and returns the number of its frames.

    The encoders of Pillow and imageio hold every frame until the last one has come;
    Pillow's functions for a single frame do not. A frame's time is the difference of
    two rounded ones, so that the whole film keeps its speed.
    """
    count = 0
    with open(path, "wb") as file:
        for count, frame in enumerate(frames, start=1):
            image = Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE)
            if count == 1:
                header, _ = GifImagePlugin.getheader(image.copy(), info={"loop": 0})
                file.writelines(header)
            hundredths = round(100 * count / fps) - round(100 * (count - 1) / fps)
            file.writelines(
                GifImagePlugin.getdata(
                    image, duration=10 * hundredths, include_color_table=True
                )
            )
        file.write(b";")
    return count


def _write_mp4(path: Path, frames: Iterator[np.ndarray], fps: float) -> int:
    """Writes an MP4 and returns the number of its frames."""
    import imageio.v2 as imageio

    count = 0
    writer = imageio.get_writer(
        path,
        format="FFMPEG",
        fps=fps,
        codec="libx264",
        pixelformat="yuv420p",
        macro_block_size=2,
        quality=None,
        output_params=["-crf", "17", "-movflags", "+faststart"],
    )
    try:
        with contextlib.closing(writer):  # `with writer` leaves it open on errors
            for frame in frames:
                writer.append_data(frame)
                count += 1
    except OSError as error:
        said = [line for line in str(error).splitlines() if line.strip()] or ["?"]
        raise UserError(f"ffmpeg could not write the film: {said[-1]}") from error
    return count
