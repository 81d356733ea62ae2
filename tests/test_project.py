"""launch/project.py, from its flags to its files; and what report.py shows of them."""

import json
import sys
import types

import imageio_ffmpeg
import numpy as np
import pytest
from launching import call
from PIL import Image
from test_projector import OTHER, SMOOTH, Pixels, generator

from stylegan_tf import export, latents, models, sampling
from stylegan_tf.data import demo
from stylegan_tf.projector import Projection, Snapshot, report


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    for name, changes in (("plain", SMOOTH), ("other", OTHER)):
        export.plain_copy(generator(changes)).save(folder / f"{name}.keras")
    (folder / "faces").mkdir()
    for i in range(3):
        face = Image.fromarray(demo.draw_face(i, 32))
        face.convert("L" if i == 1 else "RGB").save(folder / "faces" / f"{i}.png")
    return folder


def test_pictures_become_files_that_draw_them_again(folder, tmp_path):
    flags = [f"--model={folder}/plain.keras", f"--images={folder}/faces"]
    flags += [f"--out={tmp_path}", "--space=wplus", "--steps=6", "--batch=2"]
    code, out, err = call("project", *flags)
    assert code == 0, err
    assert "1 of 3 pictures turned from gray to RGB." in out
    assert f"{tmp_path}/comparison.png" in out
    model = models.load(folder / "plain.keras")
    kept = latents.load_latents(tmp_path / "projected.npz", 4, 8)
    assert kept.names == ("0", "1", "2") and len(kept.noise) == 3
    drawn = sampling.Renderer(model)(kept.ws, kept.noise)
    for name, picture in zip(kept.names, drawn, strict=True):
        np.testing.assert_array_equal(Image.open(tmp_path / f"{name}.png"), picture)
        target = np.asarray(Image.open(tmp_path / f"{name}-target.png"))
        error = ((target.astype(float) - picture) ** 2).mean()
        told = json.loads((tmp_path / "projection.json").read_text())
        entry = told["pictures"][int(name)]
        assert entry["name"] == name
        assert entry["psnr"] == pytest.approx(10 * np.log10(255**2 / error))
        assert f"{entry['distance']:.4f}" in out
    assert told["loss"] == "multiscale-v1" and told["space"] == "wplus"
    assert told["noise_weight"] == pytest.approx(1e5 / 128**2)
    mean = np.mean([e["distance"] for e in told["pictures"]])
    assert told["mean"]["distance"] == pytest.approx(mean)
    films = {"progress-0.mp4": (512, 520), "progress-2.mp4": (512, 256)}  # a batch each
    for name, size in films.items():
        film = imageio_ffmpeg.read_frames(tmp_path / name)
        assert next(film)["size"] == size
        assert sum(1 for _ in film) == 7 + 36  # the start, six steps, and a rest


def test_own_seeds_of_a_conditional_model(folder, tmp_path, monkeypatch):
    def open_network(spec, data, channels):
        asked.append((spec, data, channels))
        return Pixels()

    asked = []
    module = types.SimpleNamespace(open_network=open_network)
    monkeypatch.setitem(sys.modules, "stylegan_tf.metrics.features", module)
    flags = [f"--model={folder}/other.keras", "--target_seeds=4,7", "--novideo"]
    flags += [f"--out={tmp_path}", "--steps=2", "--loss=lpips:vgg.npz", "--classes=2"]
    flags += ["--data=faces"]
    code, out, err = call("project", *flags)
    assert code == 0, err
    assert asked == [("vgg16-lpips:vgg.npz", "faces", 1)]
    assert "distance [pixels]" in out and "seed0007" in out
    model = models.load(folder / "other.keras")
    own = dict(sampling.draw(model, [4, 7], classes=[2]))
    target = np.asarray(Image.open(tmp_path / "seed0007-target.png"))
    np.testing.assert_array_equal(target, own[7][..., 0])
    assert not list(tmp_path.glob("*.mp4"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "name a model with --model"),
        (["--model=x"], "name pictures with --images=FILE,FOLDER, or seeds"),
        (["--model=x", "--images=y", "--target_seeds=0"], "one of the two"),
        (["--model=x", "--images=y"], "no model at x"),
        (["--model=plain", "--images=y"], "there is no 'y'"),
        (["--model=plain", "--target_seeds=0-"], "target_seeds '0-'"),
        (["--model=plain", "--target_seeds=0", "--classes=1"], "has no classes"),
        (["--model=other", "--target_seeds=0", "--classes=3"], "class 3 was asked for"),
        (
            ["--model=plain", "--images=demo:1", "--lr=-1"],
            "-1.0 is not a number",
        ),
    ],
)
def test_what_cannot_be_done_is_said(folder, flags, words):
    flags = [f.replace("=plain", f"={folder}/plain.keras") for f in flags]
    flags = [f.replace("=other", f"={folder}/other.keras") for f in flags]
    code, _, err = call("project", *flags)
    assert code == 2 and words in err and "Traceback" not in err


def test_a_network_without_a_distance_is_refused(folder, monkeypatch):
    network = types.SimpleNamespace(name="keras:x")
    module = types.SimpleNamespace(open_network=lambda *_, **__: network)
    monkeypatch.setitem(sys.modules, "stylegan_tf.metrics.features", module)
    flags = [f"--model={folder}/plain.keras", "--target_seeds=0", "--loss=keras:x"]
    code, _, err = call("project", *flags)
    assert code == 2 and "--loss=keras:x has no distance between pictures" in err


# ---------------------------------------------------------------------------


def found(count=3, size=(8, 8, 3), psnr=20.0) -> Projection:
    rng = np.random.default_rng(0)
    targets, pictures = rng.integers(0, 256, (2, count, *size), np.uint8)
    names = tuple("abcdefgh"[:count])
    kept = latents.Latents(np.zeros((count, 1, 2)), None, names)
    numbers = np.arange(count) / 10
    return Projection(
        kept, pictures, targets, "x", numbers, numbers + 1, np.full(count, psnr)
    )


def test_the_sheet_shows_target_projection_and_difference():
    projection = found(1, (512, 512, 3))
    sheet = report.comparison_sheet(projection)
    assert sheet.shape == (512, 3 * 512, 3)
    np.testing.assert_array_equal(sheet[:, :512], projection.targets[0])
    np.testing.assert_array_equal(sheet[:, 512:1024], projection.images[0])
    gap = np.abs(projection.targets[0].astype(int) - projection.images[0])
    np.testing.assert_array_equal(sheet[:, 1024:], np.minimum(gap * 4, 255))


@pytest.mark.parametrize(
    ("count", "size"), [(7, (8, 8, 1)), (2, (1024, 1024, 3)), (8, (256, 384, 4))]
)
def test_sheets_have_a_size_that_can_be_looked_at(count, size):
    sheet = report.comparison_sheet(found(count, size))
    assert sheet.shape[-1] == 3
    assert 760 <= max(sheet.shape[:2]) <= 1600


def test_films_hold_one_frame_and_rest_on_the_last():
    projection, alive = found(2), []

    def snapshots():
        for step in range(3):
            alive.append(step)
            yield Snapshot(step, projection.images)

    frames = report.search_frames(projection.targets, snapshots())
    assert next(frames).shape == (2 * 256 + 8, 512, 3) and alive == [0]
    assert sum(1 for _ in frames) == 2 + 36


def test_numbers_of_pictures_that_are_equal():
    projection = found(2, psnr=np.inf)
    assert [r["psnr"] for r in report.projection_rows(projection)] == [None, None]
    assert report.projection_totals(projection)["mean"]["psnr"] is None
    json.dumps(report.projection_rows(projection), allow_nan=False)
    lines = report.projection_table(projection).splitlines()
    assert lines[0] == "distance [x], PSNR in dB"
    assert lines[2].split() == ["a", "1.0000", "0.0000", "equal"]
    assert [line.split()[0] for line in lines[2:]] == ["a", "b", "mean", "median"]
