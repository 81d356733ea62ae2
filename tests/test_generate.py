"""generate, figures, directions from the command line: steering, films, files."""

import sys
import types

import numpy as np
import pytest
import tiny
from launching import call
from PIL import Image
from test_video import read_gif, read_mp4

from stylegan_tf import figures, latents, sampling
from stylegan_tf.errors import UserError
from stylegan_tf.figures import facts
from stylegan_tf.figures.outputs import ImageWriter
from stylegan_tf.latents import directions
from stylegan_tf.networks.generator import Generator
from stylegan_tf.sampling import lineup, steering


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model, the flag that names it, and a folder."""
    made = tiny.noisy(Generator(tiny.config().generator))
    folder = tmp_path_factory.mktemp("steered")
    made.save(folder / "a.keras")
    return made, f"--model={folder / 'a.keras'}", folder


def done(verb, *flags) -> str:
    code, out, error = call(verb, *map(str, flags))
    assert code == 0, error
    return out


def read(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def drawn(path) -> np.ndarray:
    """The pixels of the model's 8 x 8 pictures, saved ten times as large."""
    saved = read(path)
    pixels = saved[::10, ::10]
    np.testing.assert_array_equal(saved, pixels.repeat(10, 0).repeat(10, 1))
    return pixels


def test_steered_pictures_are_those_of_the_styles(model, tmp_path):
    made, flag, _ = model
    flags = [flag, "--seeds=0-1", "--psi=0.5,1", "--mix=9@0,2", "--edit=pca0:2@1-2"]
    done("generate", *flags, "--edit=sefa1:-1", f"--out={tmp_path}")
    how = {"psi": [0.5, 1, 1, 1]}
    ws = sampling.styles(made, [0, 1], **how)
    ws = latents.mix_styles(ws, sampling.styles(made, [9], **how), [0, 2])
    w = sampling.sample_w(made)
    ws[:, 1:3] += 2 * directions.pca(w, 8).step("pca0")
    ws -= directions.sefa(steering.style_affines(made), w, 8).step("sefa1")
    expected = sampling.Renderer(made)(ws)
    found = np.stack([drawn(tmp_path / f"seed000{i}.png") for i in range(2)])
    np.testing.assert_allclose(found.astype(int), expected, atol=1)


def test_styles_are_kept_and_drawn_again(model, tmp_path):
    made, flag, _ = model
    kept = tmp_path / "w.npz"
    flags = (flag, "--seeds=5,6", "--psi=0.4", "--edit=pca1:1")
    done("generate", *flags, f"--save_latents={kept}", f"--out={tmp_path / 'a'}")
    done("generate", flag, f"--latents={kept}", f"--out={tmp_path / 'b'}")
    for name in ("seed0005.png", "seed0006.png"):
        a, b = (read(tmp_path / k / name) for k in "ab")
        np.testing.assert_array_equal(a, b)
    # psi acts on styles of a file only when it is asked for
    done(
        "generate", flag, f"--latents={kept}", "--psi=0", f"--grid={tmp_path / 'd.png'}"
    )
    sheet = drawn(tmp_path / "d.png")
    np.testing.assert_array_equal(sheet[:, :8], sheet[:, 8:])


def test_pictures_tell_how_they_were_drawn(model, tmp_path):
    _, flag, _ = model
    flags = (flag, "--seeds=5,9", "--psi=0.4", "--mix=9@0,2", "--edit=pca1:1@1-2")
    done("generate", *flags, "--noise=random", f"--out={tmp_path / 'a'}")
    with Image.open(tmp_path / "a" / "seed0009.png") as image:
        told = image.info
    assert (told["Seed"], told["Psi"]) == ("9", "0.4")
    assert told["Edits"] == "9@0,2; pca1:1@1-2" and told["Model"] in flag
    picture, again = tmp_path / "a" / "seed0009.png", tmp_path / "b" / "seed0009.png"
    said = done("generate", f"--from={picture}", f"--out={again.parent}")
    assert "1 picture in" in said
    assert again.read_bytes() == picture.read_bytes()
    done("generate", f"--from={again}", f"--out={again.parent}", "--psi=1")
    assert again.read_bytes() != picture.read_bytes()
    done("generate", f"--from={picture}", f"--out={again.parent}", "--enlarge=1")
    with Image.open(again) as image:
        assert image.size == (8, 8)


def test_sheets_and_sweeps_are_drawn_again(model, tmp_path):
    sheet, sweep = tmp_path / "sheet.png", tmp_path / "sweep.png"
    done("generate", model[1], "--seeds=1-4", "--columns=2", f"--grid={sheet}")
    done("generate", model[1], "--seeds=1", "--psi_sweep=0,1", f"--grid={sweep}")
    for file in (sheet, sweep):
        done("generate", f"--from={file}", f"--out={tmp_path / 'b'}")
    assert (tmp_path / "b" / "sheet.png").read_bytes() == sheet.read_bytes()
    with Image.open(tmp_path / "b" / "psi_sweep.png") as again, Image.open(sweep) as b:
        np.testing.assert_array_equal(again, b)


def test_figures_tell_how_they_were_drawn(model, tmp_path):
    flags = (model[1], "--figure=mixing", "--seeds=3,4,5", "--cols=1", "--psi=0.5")
    done("figures", *flags, f"--out={tmp_path / 'a.png'}")
    with Image.open(tmp_path / "a.png") as image:
        told = image.info
    assert (told["Figure"], told["Seed"], told["Psi"]) == ("mixing", "3,4,5", "0.5")
    assert told["Model"] in model[1] and told["Software"].startswith("stylegan_tf ")
    done("figures", f"--from={tmp_path / 'a.png'}", f"--out={tmp_path / 'b.png'}")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    code, _, error = call("generate", f"--from={tmp_path / 'a.png'}")
    assert code == 2 and "is a figure, which figures.py --from=" in error
    texts = facts.picture_texts("sheet", {"model": "m", "mix": ["1@0"], "psi": 0.7})
    assert (texts["Model"], texts["Psi"], texts["Edits"]) == ("m", "0.7", "1@0")


RECIPES = {
    "": "does not say how it was drawn",
    "[1]": "does not say how",
    '{"kind": "picture", "flags": {"model": "hf://a/b"}}': "say --model=hf://a/b",
    '{"kind": "picture", "flags": {"model": "x", "cutoff": "-3"}}': "cannot be drawn",
    '{"kind": "picture", "flags": {"noise": ["loud"]}}': "cannot be drawn again",
    '{"kind": "picture", "flags": {"out": "/"}}': "name a model with --model",
    '{"kind": "sheet", "flags": {"model": "gone"}}': "say where it is with --model=",
}


@pytest.mark.parametrize("text", RECIPES)
def test_recipes_that_are_refused(tmp_path, text):
    pixels, file = np.zeros((2, 2, 3), np.uint8), tmp_path / "a.png"
    figures.save_image(file, pixels, {"stylegan_tf": text} if text else None)
    code, _, error = call("generate", f"--from={file}")
    assert code == 2 and RECIPES[text] in error
    (tmp_path / "b.png").write_text("no picture")
    assert call("generate", f"--from={tmp_path / 'b.png'}")[0] == 2


def test_files_are_named_safely():
    found = lineup.safe_file_names(["a/../b", "a/../b", ""])
    assert found == ["0000-a-..-b", "0001-a-..-b", "0002-picture"]
    assert lineup.safe_file_names(["cat", "dog.1"]) == ["cat", "dog.1"]


def test_a_sweep_has_a_column_a_psi(model, tmp_path):
    made, flag, _ = model
    flags = (flag, "--seeds=1-2", "--psi_sweep=-1,0.5,1", "--mix=9@3")
    out = done("generate", *flags, f"--out={tmp_path}")
    assert "psi_sweep.png" in out
    sheet = read(tmp_path / "psi_sweep.png")
    for c, psi in enumerate((-1, 0.5, 1)):
        ws = sampling.styles(made, [2], psi)
        ws = latents.mix_styles(ws, sampling.styles(made, [9], psi), [3])
        x = sheet.shape[1] - (3 - c) * 132 + 4
        expected = figures.enlarge(sampling.Renderer(made)(ws), 16)[0].astype(int)
        np.testing.assert_allclose(sheet[-128:, x : x + 128], expected, atol=1)
    assert sheet.shape[0] > 2 * 128 + 4 and sheet.shape[1] > 3 * 132


def test_films_pass_the_pictures(model, tmp_path):
    made, flag, _ = model
    film = tmp_path / "walk.gif"
    flags = (flag, "--seeds=1-3", "--frames=4", "--fps=20")
    done("generate", *flags, f"--video={film}", "--edit=pca0:1")
    frames, times = read_gif(film)
    assert len(frames) == 12 and set(times) == {50}
    assert frames[0].shape == (160, 160, 3)
    edit = steering.Steering(made, edits=[latents.Edit("pca0", 1)])
    ws = sampling.styles(made, [1, 2, 3], 0.7, steer=edit)
    expected = figures.enlarge(sampling.Renderer(made)(ws), 20).astype(int)
    np.testing.assert_allclose(np.stack(frames[::4]), expected, atol=2)
    mp4 = tmp_path / "walk.mp4"
    done("generate", *flags, f"--video={mp4}", "--path=z", "--noloop", "--psi=1")
    about, frames = read_mp4(mp4)
    assert len(frames) == 9 and about["size"] == (256, 256)
    large = figures.enlarge(sampling.Renderer(made)(sampling.styles(made, [3])), 32)
    assert np.abs(frames[-1] - large[0].astype(int)).mean() < 6


def test_a_film_goes_from_a_picture_to_its_edit_and_back(model, tmp_path):
    made, flag, _ = model
    film = tmp_path / "edit.gif"
    flags = (flag, "--seeds=3", "--path=edit", "--frames=2", "--fps=3")
    done("generate", *flags, f"--video={film}", "--edit=pca0:1")
    frames, _ = read_gif(film)
    edit = steering.Steering(made, edits=[latents.Edit("pca0", 1)])
    ends = [sampling.styles(made, [3], 0.7, steer=s) for s in (None, edit)]
    ws = np.concatenate([ends[0], (ends[0] + ends[1]) / 2, ends[1]])
    expected = figures.enlarge(sampling.Renderer(made)(ws), 20).astype(int)
    at = [0, 0, 0, 1, 2, 2, 2, 2, 1, 0]  # both ends are held for two thirds of a second
    np.testing.assert_allclose(np.stack(frames), expected[at], atol=2)
    with pytest.raises(UserError, match="style channels such"):
        ImageWriter(made, [3], edits=["s1.0:1"]).write_edit_film(film)


@pytest.mark.parametrize("noise", ["random", "none"])
def test_the_noise_of_kept_styles_is_kept(model, tmp_path, noise):
    _, flag, _ = model
    kept, sheets = tmp_path / "w.npz", [tmp_path / f"{k}.png" for k in "abc"]
    flags = (flag, "--seeds=5,9", f"--noise={noise}")
    done("generate", *flags, f"--grid={sheets[0]}")
    done("generate", *flags, f"--grid={sheets[1]}", f"--save_latents={kept}")
    done("generate", flag, f"--latents={kept}", f"--grid={sheets[2]}")
    first, *others = map(read, sheets)
    for other in others:
        np.testing.assert_array_equal(first, other)
    done("generate", flag, "--seeds=5,9", f"--grid={sheets[1]}")
    assert np.any(first != read(sheets[1]))


def test_a_seed_that_is_given_twice_is_one_file(model, tmp_path):
    assert "1 picture in" in done(
        "generate", model[1], "--seeds=3,3", f"--out={tmp_path}"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["seed0003.png"]


UNHEARD = [
    ("generate", ["--frames=5"], "--frames is of a film; name its file with --video"),
    ("generate", ["--noloop"], "--loop is of a film"),
    ("generate", ["--video=a.gif", "--photo=x"], "--photo is of a film with --path"),
    ("generate", ["--video=a.gif", "--path=edit"], "--path=edit goes from the picture"),
    ("generate", ["--columns=5"], "--columns is of a sheet"),
    ("generate", ["--psi_sweep=1,0", "--columns=5"], "--columns is of a sheet"),
    ("generate", ["--video=a.gif", "--grid=a.png"], "--grid is not used; --video"),
    ("generate", ["--grid=a.png", "--out=b"], "--out is for pictures; --grid names"),
    ("generate", ["--directions=a.npz"], "--directions names directions; use one"),
    ("figures", ["--figure=mixing", "--psi_sweep=1"], "--psi_sweep means nothing to"),
    ("figures", ["--figure=truncation", "--psi=1"], "--psi means nothing to"),
    ("figures", ["--figure=noise", "--cols=2"], "--cols means nothing to --figure=noi"),
    ("figures", ["--figure=noise", "--fps=2"], "--fps is of a film; write one with"),
    (
        "figures",
        ["--figure=interpolation", "--out=a.gif", "--rows=2"],
        "--rows is of a",
    ),
    ("project", ["--target_seeds=1", "--first=2"], "--first is of --images"),
    ("project", ["--target_seeds=1", "--data=demo"], "--data names the network of"),
    ("export", ["--batch=2"], "--batch is of ONNX and LiteRT files"),
    ("export", ["--format=keras", "--noise=none"], "--noise is not settled in"),
    ("directions", ["--samples=99"], "--samples is of --method=labels"),
    ("directions", ["--method=labels", "--labels=demo", "--count=2"], "--count is of"),
]


@pytest.mark.parametrize(("verb", "flags", "words"), UNHEARD)
def test_flags_that_would_not_be_heard_are_refused(verb, flags, words):
    code, _, error = call(verb, "--model=/nowhere", *flags)
    assert code == 2 and error.startswith(f"error: {words}"), error


def test_a_folder_that_is_a_file_is_said_before_the_work(model, tmp_path):
    (tmp_path / "file").touch()
    flags = ["--target_seeds=1", f"--out={tmp_path / 'file'}", "--steps=1000000000"]
    code, _, error = call("project", model[1], *flags)
    assert code == 2 and error.endswith("file is there already, and is no folder.\n")


@pytest.mark.parametrize(
    ("verb", "flags", "words"),
    [
        ("generate", ["--edit=pca0"], "is not DIRECTION:AMOUNT"),
        ("generate", ["--edit=smile:1"], "no direction 'smile'"),
        ("generate", ["--edit=pca0:1@7"], "7 is above 3"),
        ("generate", ["--mix=1"], "is not SEED@LAYERS"),
        ("generate", ["--psi=1,1,1,1,1"], "5 numbers; the model has 4 layers"),
        ("generate", ["--latents=none.npz"], "none.npz cannot be read"),
        ("generate", ["--latents=a.npz", "--seeds=1"], "takes the place of --seeds"),
        ("generate", ["--video=a.gif", "--psi_sweep=1"], "do not go together"),
        ("generate", ["--psi=1", "--psi_sweep=1"], "do not go together"),
        ("generate", ["--video=a.avi"], "name it x.mp4 or x.gif"),
        ("generate", ["--video=a.gif", "--seeds=1"], "two pictures or more"),
        ("generate", ["--directions=a.npz"], "use one with --edit"),
        ("generate", ["--save_latents=a"], "name it x.npz"),
        ("figures", ["--figure=mixing", "--out=a.gif"], "only interpolation makes one"),
        ("figures", ["--figure=mixing", "--out=a.txt"], "name it x.png or x.pdf"),
        ("figures", ["--figure=all", "--out=a.png"], "fills a folder"),
        ("figures", ["--styles=9"], "9 is above 3"),
        ("directions", ["--method=labels"], "go together"),
        ("directions", ["--labels=a.csv"], "go together"),
        ("directions", ["--method=labels", "--labels=a.csv"], "there is no a.csv"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_what_cannot_be_is_said_in_a_line(model, verb, flags, words, monkeypatch):
    _, flag, folder = model
    monkeypatch.chdir(folder)
    code, _, error = call(verb, flag, *flags)
    assert code == 2 and words in error and len(error.splitlines()) == 1, error
    assert [p.name for p in folder.iterdir()] == ["a.keras"]


# ---------------------------------------------------------------------------
# The other two verbs


def test_figures_draws_one_or_a_film(model, tmp_path):
    _, flag, _ = model
    out = tmp_path / "new" / "t.png"
    flags = ("--figure=truncation", "--cell=32", "--psi_sweep=1,0")
    said = done("figures", flag, *flags, f"--out={out}", "--seeds=1")
    assert str(out) in said and "psi = 0 is the average picture" in said
    assert read(out).ndim == 3
    film = tmp_path / "walk.gif"
    flags = ("--figure=interpolation", "--frames=3", "--fps=10", "--seeds=1-2")
    done("figures", flag, *flags, f"--out={film}")
    assert len(read_gif(film)[0]) == 6


def test_directions_writes_what_edits_take(model, tmp_path):
    made, flag, _ = model
    out = tmp_path / "d"
    flags = ("--method=sefa", "--count=2", "--layers=fine", f"--out={out}")
    said = done("directions", flag, *flags)
    assert "sefa0" in said and "sefa1" in said
    names = {"directions.npz", "sefa0.png", "sefa1.png", "strips.png"}
    assert {p.name for p in out.iterdir()} == names
    found = directions.load_directions(out / "directions.npz", 6, 8)
    assert found.layers == (3,)
    strip = read(out / "sefa1.png")
    base = sampling.styles(made, [1], 0.7)
    np.testing.assert_allclose(
        strip[:, 3 * 132 : 3 * 132 + 128].astype(int),
        figures.enlarge(sampling.Renderer(made)(base), 16)[0],
        atol=1,
    )
    file, grid = f"--directions={out / 'directions.npz'}", tmp_path / "e.png"
    done("generate", flag, file, "--seeds=1", "--edit=sefa1:2", f"--grid={grid}")
    base[:, 3] += 2 * found.step("sefa1")
    expected = sampling.Renderer(made)(base)[0].astype(int)
    np.testing.assert_allclose(drawn(grid), expected, atol=1)


def test_directions_of_a_table(model, tmp_path):
    made, flag, _ = model
    w = sampling.styles(made, range(60))[:, 0]
    table = ["seed,side"] + [
        f"{i},{int(x > np.median(w[:, 2]))}" for i, x in enumerate(w[:, 2])
    ]
    (tmp_path / "a.csv").write_text("\n".join(table))
    flags = ("--method=labels", f"--labels={tmp_path / 'a.csv'}", f"--out={tmp_path}")
    assert "side" in done("directions", flag, *flags)
    found = directions.load_directions(tmp_path / "directions.npz", 6, 8)
    assert found.names == ("side",) and found.quality[0] > 0.8
    np.testing.assert_array_equal(
        found.vectors,
        directions.label_directions(w, {"side": w[:, 2] > np.median(w[:, 2])}).vectors,
    )


def test_a_table_of_a_conditional_model_says_the_classes(tmp_path):
    changes = {"generator.classes": 3, "discriminator.classes": 3}
    made = Generator(tiny.config(changes).generator)
    made.save(tmp_path / "a.keras")
    seeds = [s for s in range(70) if s % 7]  # not those that classes would follow
    classes = np.random.default_rng(0).integers(0, 3, len(seeds))
    pairs = zip(seeds, classes, strict=True)
    w = [sampling.styles(made, [s], classes=[k])[0, 0] for s, k in pairs]
    side = np.stack(w)[:, 2] > np.median(w, axis=0)[2]
    rows = [f"{s},{int(x)}" for s, x in zip(seeds, side, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["seed,side", *rows]))
    flags = ["--method=labels", f"--labels={tmp_path / 'a.csv'}", f"--out={tmp_path}"]
    code, _, error = call("directions", f"--model={tmp_path / 'a.keras'}", *flags)
    assert code == 2 and "needs a column class" in error
    rows = [f"{row},{k}" for row, k in zip(rows, classes, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["seed,side,class", *rows]))
    done("directions", f"--model={tmp_path / 'a.keras'}", *flags)
    found = directions.load_directions(tmp_path / "directions.npz", 6, 8)
    assert found.names == ("side",)
    expected = directions.label_directions(np.stack(w), {"side": side}).vectors
    np.testing.assert_allclose(found.vectors, expected, atol=1e-4)


def test_directions_of_the_factor_network(model, tmp_path, monkeypatch):
    """A stand-in for the network: brightness, and which of two halves is brighter."""
    made, flag, _ = model
    sizes: list[int] = []

    class Network:
        def factors(self, images):
            assert images.dtype == np.uint8 and images.shape[1:] == (8, 8, 3)
            sizes.append(len(images))
            halves = images.reshape(len(images), 2, -1).mean(axis=2)
            odds = (halves == halves.max(axis=1, keepdims=True)).astype(float)
            return {"light": images.mean(axis=(1, 2, 3)), "half": odds}

    fake = types.ModuleType("stylegan_tf.metrics.features.builtin_own")
    fake.load_builtin = Network
    from stylegan_tf.metrics import features

    monkeypatch.setitem(sys.modules, "stylegan_tf.metrics.features.builtin_own", fake)
    monkeypatch.setattr(features, "builtin_own", fake, raising=False)
    flags = ("--method=labels", "--labels=demo", "--samples=150", f"--out={tmp_path}")
    done("directions", flag, *flags)
    assert sizes == [64, 64, 22]
    found = directions.load_directions(tmp_path / "directions.npz", 6, 8)
    assert found.names[0] == "light"
    ws = sampling.styles(made, range(150))
    ends = [ws + a * found.step("light") for a in (-1, 1)]
    dark, bright = (sampling.Renderer(made)(x).mean() for x in ends)
    assert bright > dark
