"""video.py: films hold the frames that went in, and no more than one is in memory."""

import builtins
import weakref

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from stylegan_tf import figures
from stylegan_tf.errors import UserError
from stylegan_tf.figures import video


def frame(i: int, h=16, w=24, c=3) -> np.ndarray:
    picture = np.zeros((h, w, c), np.uint8)
    picture[..., :] = 10 * i
    picture[:, i] = 255
    return picture


def read_gif(path) -> tuple[list[np.ndarray], list[int]]:
    frames, times = [], []
    with Image.open(path) as film:
        for i in range(film.n_frames):
            film.seek(i)
            times.append(film.info["duration"])
            frames.append(np.asarray(film.convert("RGB")))
        assert film.info["loop"] == 0  # for ever
    return frames, times


def read_mp4(path) -> tuple[dict, list[np.ndarray]]:
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    w, h = about["size"]
    return about, [np.frombuffer(f, np.uint8).reshape(h, w, 3) for f in reader]


def test_a_gif_holds_every_frame(tmp_path):
    path = video.write_video(tmp_path / "new" / "a.gif", map(frame, range(20)), fps=30)
    frames, times = read_gif(path)
    assert len(frames) == 20
    for i in (0, 1, 19):  # enlarged ten times, by whole pixels
        expected = figures.enlarge(frame(i)[None], 10)[0]
        np.testing.assert_array_equal(frames[i], expected)
    assert set(times) == {30, 40} and sum(times) == 670  # 20 / 30 of a second
    assert [p.name for p in path.parent.iterdir()] == ["a.gif"]


def test_an_mp4_holds_every_frame_and_plays_anywhere(tmp_path):
    path = video.write_video(tmp_path / "a.mp4", map(frame, range(20)), fps=25)
    about, frames = read_mp4(path)
    assert len(frames) == 20 and about["fps"] == 25 and about["size"] == (384, 256)
    assert about["codec"] == "h264" and about["pix_fmt"].startswith("yuv420p")
    for i in (0, 1, 19):
        expected = figures.enlarge(frame(i)[None], 16)[0].astype(float)
        assert np.abs(frames[i] - expected).mean() < 4
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # it starts before it is all there
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("kind", video.KINDS)
def test_odd_sides_and_gray_pictures(kind, tmp_path):
    frames = [frame(i, 15, 17, 1) for i in range(3)]
    path = video.write_video(tmp_path / f"a{kind}", frames, least=15)
    read = read_gif(path)[0] if kind == ".gif" else read_mp4(path)[1]
    assert len(read) == 3 and read[0].shape == (16, 18, 3)
    np.testing.assert_allclose(read[2][:, -1], read[2][:, -2], atol=12)  # repeated edge
    assert np.abs(read[1][:15, :17] - frames[1].astype(float)).mean() < 8


def test_frames_are_not_kept(tmp_path):
    alive: list = []

    def frames():
        for i in range(6):
            picture = frame(i)
            alive.append(weakref.ref(picture))
            yield picture
            del picture
            assert sum(r() is not None for r in alive) <= 1

    for kind in video.KINDS:
        alive.clear()
        video.write_video(tmp_path / f"a{kind}", frames(), total=6)
        assert len(alive) == 6


def test_what_is_no_film_is_said(tmp_path):
    for name, fps, words in (
        ("a.avi", 30, "name it x.mp4 or x.gif"),
        ("a.gif", 60, "takes 1 to 50"),
        ("a.mp4", 0, "takes 1 to 240"),
    ):
        with pytest.raises(UserError, match=words):
            video.write_video(tmp_path / name, [frame(0)], fps)
    for kind in video.KINDS:
        with pytest.raises(UserError, match="no frames"):
            video.write_video(tmp_path / f"a{kind}", [])
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_no_file(tmp_path):
    def frames():
        yield frame(0)
        raise ValueError("the model fell over")

    for kind in video.KINDS:
        with pytest.raises(ValueError, match="fell over"):
            video.write_video(tmp_path / f"a{kind}", frames())
    assert not list(tmp_path.iterdir())


def test_where_no_file_can_be_is_said(tmp_path):
    for kind in video.KINDS:
        (tmp_path / f"folder{kind}").mkdir()
        with pytest.raises(OSError, match="directory"):
            video.write_video(tmp_path / f"folder{kind}", [frame(0)])
        with pytest.raises(OSError, match="No such file"):
            video.write_video(f"/proc/none{kind}", [frame(0)])
    assert len(list(tmp_path.iterdir())) == 2


def test_an_mp4_without_ffmpeg_says_what_to_install(tmp_path, monkeypatch):
    plain = builtins.__import__

    def without(name, *rest):
        if name == "imageio_ffmpeg":
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r'pip install "stylegan_tf\[video\]"'):
        video.check_video(tmp_path / "a.mp4", 30)
    video.check_video(tmp_path / "a.gif", 30)
