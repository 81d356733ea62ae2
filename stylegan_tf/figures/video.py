"""Films of pictures, as GIF or MP4, written frame by frame. No TensorFlow.

    video.write("walk.mp4", frames, fps=30)
    video.write("walk.gif", frames, fps=20)

`frames` may be a generator: no more than one picture is held. An MP4 is H.264 with
4:2:0 chroma and its index at the front, which browsers, slides and phones play; a GIF
has a palette of its own for every frame, and runs for ever.
"""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import GifImagePlugin, Image
from tqdm import tqdm

from stylegan_tf.errors import UserError
from stylegan_tf.figures import sheets
from stylegan_tf.files import atomic_write

KINDS = (".gif", ".mp4")
# Pixels: smaller pictures are enlarged to about this, by whole pixels.
LEAST = {".gif": 160, ".mp4": 256}
FASTEST_GIF = 50  # frames a second; browsers slow down what is faster


def is_film(path: Path | str) -> bool:
    """Whether a file's name asks for a film."""
    return Path(path).suffix.lower() in KINDS


def check(path: Path | str, fps: float) -> None:
    """Says what is wrong before a picture is drawn.

    Raises:
        UserError: a name that is neither .gif nor .mp4, a speed that cannot be had, or
            no library to write it with.
    """
    if not is_film(path):
        raise UserError(f"{path} is written as a film; name it x.mp4 or x.gif.")
    fastest = FASTEST_GIF if _is_gif(path) else 240
    if not 1 <= fps <= fastest:
        raise UserError(
            f"{fps:g} frames a second were asked for; a {Path(path).suffix} takes 1 to "
            f"{fastest}."
        )
    if not _is_gif(path):
        _ffmpeg()


def write(
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
        frames: uint8 [H, W, 1, 3 or 4], all of a size; used as they come.
        fps: frames a second; a GIF keeps hundredths of a second a frame.
        total: how many there are, for the bar.
        progress: show a bar.
        least: pixels that the shorter side shall have, about; None = LEAST.

    Raises:
        UserError: as `check`, or no frames.
    """
    check(path, fps)
    least = least or LEAST[Path(path).suffix.lower()]
    bar = tqdm(frames, total=total, unit="frame", disable=None if progress else True)
    writer = _write_gif if _is_gif(path) else _write_mp4
    with atomic_write(path) as draft:
        draft.touch()  # says why not, where ffmpeg would not
        if not writer(draft, _prepared(bar, least), fps):
            raise UserError(f"{path}: there are no frames to write.")
    return Path(path)


def _is_gif(path: Path | str) -> bool:
    return Path(path).suffix.lower() == ".gif"


def _prepared(frames: Iterable[np.ndarray], least: int) -> Iterator[np.ndarray]:
    """Colored, enlarged, of even sides: uint8 [H, W, 3]."""
    for frame in frames:
        picture = sheets.rgb(np.asarray(frame, np.uint8))
        h, w = picture.shape[:2]
        factor = sheets.factor_to(h, w, least)
        picture = sheets.enlarge(picture[None], factor)[0]
        odd = [(0, side % 2) for side in picture.shape[:2]]
        yield np.ascontiguousarray(np.pad(picture, [*odd, (0, 0)], mode="edge"))


def _write_gif(path: Path, frames: Iterator[np.ndarray], fps: float) -> int:
    """One image block a frame, straight to the file; returns the number of frames.

    The time of every frame is the difference of two rounded ones, so that the film as a
    whole keeps its speed.
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
    """Sends frames to ffmpeg as they come; returns how many."""
    first = next(frames, None)
    if first is None:
        return 0
    height, width = first.shape[:2]
    writer = _ffmpeg().write_frames(
        str(path),
        (width, height),
        fps=fps,
        codec="libx264",
        pix_fmt_in="rgb24",
        pix_fmt_out="yuv420p",
        macro_block_size=2,
        output_params=["-crf", "17", "-movflags", "+faststart"],
        quality=None,
    )
    writer.send(None)
    count = 0
    try:
        for frame in itertools.chain([first], frames):
            writer.send(frame)
            count += 1
    except OSError as error:
        said = [line for line in str(error).splitlines() if line.strip()] or ["?"]
        raise UserError(f"ffmpeg could not write the film: {said[-1]}") from error
    finally:
        writer.close()
    return count


def _ffmpeg():
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UserError(
            "an MP4 needs ffmpeg, which a package brings: pip install imageio-ffmpeg. "
            "A .gif does not."
        ) from error
    return imageio_ffmpeg
