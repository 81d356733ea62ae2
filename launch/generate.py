"""Draws pictures with a trained model.

    python launch/generate.py --model=runs/00000-demo-demo
    python launch/generate.py --model=generator.keras --seeds=0-31,100 --psi=0.5
    python launch/generate.py --model=karras2019stylegan-ffhq-1024x1024.pkl --cutoff=8
    python launch/generate.py --model=runs/00003-photos-demo --grid=sheet.png
    python launch/generate.py --model=runs/00004-cats-demo --classes=2 --seeds=0-9
    python launch/generate.py --model=runs/00004-cats-demo --grid=classes.png

A seed is a picture: the same seed gives the same file on every run, however many are
drawn. Pictures are written as seed0000.png and so on, or as one sheet with --grid.

Steer them:

    python launch/generate.py --model=RUN --psi=0.5,0.5,0.5,0.5,1
    python launch/generate.py --model=RUN --seeds=0-3 --psi_sweep=-1,-0.5,0,0.5,1
    python launch/generate.py --model=RUN --seeds=0-7 --mix=639@coarse --mix=42@6-7
    python launch/generate.py --model=RUN --edit=pca0:2@0-3 --edit=sefa1:-1.5
    python launch/generate.py --model=RUN --edit=smile:2 --directions=FILE.npz
    python launch/generate.py --model=RUN --seeds=0-7 --save_latents=w.npz
    python launch/generate.py --model=RUN --latents=w.npz --edit=pca2:1

LAYERS are numbers from 0, the coarsest (two a resolution), ranges, 8- for "from 8 on",
or coarse, middle, fine: layers 0-3, 4-7 and the rest, as in the paper; in models with
8 layers or fewer the lower half, and the halves of the rest. --latents takes what
--save_latents or a projection wrote.

Walk from picture to picture, as a film:

    python launch/generate.py --model=RUN --seeds=0-5 --video=walk.mp4
    python launch/generate.py --model=RUN --seeds=0-3 --video=walk.gif --path=z --fps=20

With a conditional model the seeds take the classes in turn, and a file's name says
which one it got: seed0000-class2.png. --each_class draws every seed in every class. A
sheet has one row a class and one column a seed, unless --columns is given or there is
only one class.
"""

from collections.abc import Sequence

from stylegan_tf_launch import cli

MOST_FRAMES = 3600  # two minutes from a picture to the next

FLAGS, define = cli.flag_set()
define.string("model", None, cli.MODEL)
define.string(
    "seeds",
    None,
    "Numbers and ranges: 0-31,100. By default 0-31; 0-3 for a sweep, 0-5 for a film.",
)
define.string(
    "latents",
    None,
    "Draw the styles in this .npz file instead of seeds, with the noise it holds.",
)
define.string(
    "psi",
    None,
    "Truncation: 1 is everything the model knows, smaller is more typical and cleaner, "
    "0 the average picture, below 0 its opposite. Or a number a layer, 0.5,0.5,1; the "
    "last one serves the layers that are left. By default 0.7, but 1 with --latents.",
)
define.string(
    "psi_sweep",
    None,
    "A sheet with a column for each of these psi, -1,0,0.5,1, and a row a picture; "
    "written to --grid, or psi_sweep.png in --out.",
)
define.enum(
    "psi_center",
    None,
    ["class", "global"],
    "What truncation pulls towards: the average of the picture's own class, or of all "
    "pictures. By default class for a conditional model, else global.",
)
define.integer(
    "cutoff",
    None,
    "Truncate only so many layers, from the coarsest; the paper's figures use 8. By "
    "default all.",
    lower_bound=0,
)
define.enum(
    "noise",
    "const",
    ["const", "random", "none"],
    "Fine detail: the stored maps, maps drawn from the seed, or none.",
)
define.string(
    "classes",
    None,
    "Class numbers of a conditional model, 0-3,7; given in turn to the seeds. By "
    "default every class in turn.",
)
define.bool("each_class", False, "Draw every seed in every one of the classes.")
define.multi_string(
    "mix",
    [],
    "SEED@LAYERS: the styles of these layers come from that seed. Repeatable.",
)
define.multi_string(
    "edit",
    [],
    "DIRECTION:AMOUNT or DIRECTION:AMOUNT@LAYERS: go so many standard deviations along "
    "pca0, sefa3, or a direction of --directions. Repeatable.",
)
define.string("directions", None, "Named directions, from launch/directions.py.")
define.string("out", "out", "Folder for the pictures.")
define.string(
    "grid",
    None,
    "Write one sheet to this file instead; of several classes, one row each.",
)
define.integer("columns", None, "Pictures in a row of the sheet.", lower_bound=1)
define.string("save_latents", None, "Write the styles to this .npz file, too.")
define.string("video", None, "Write a film, x.mp4 or x.gif, instead of pictures.")
define.enum(
    "path",
    "cubic",
    ["z", "linear", "cubic"],
    "How a film goes from picture to picture: great circles in Z, straight lines in W, "
    "or a smooth curve in W.",
)
define.integer(
    "frames",
    30,
    "Frames of a film from a picture to the next.",
    lower_bound=1,
    upper_bound=MOST_FRAMES,
)
define.float("fps", 30, "Frames of a film a second.")
define.bool("loop", True, "A film returns to its first picture.")


def main(argv: Sequence[str]) -> int:
    """Draws as the flags say; returns the exit code."""
    _check()
    cli.load_tensorflow(exact=True)
    from stylegan_tf import models

    model = models.load(FLAGS.model)
    if FLAGS.video:
        return _film(model)
    if FLAGS.psi_sweep:
        return _sweep(model)
    if FLAGS.latents or FLAGS.save_latents:
        return _styled(model)
    return _seeds(model)


def _check() -> None:
    """What can be said without a model.

    Raises:
        UserError: flags that are wrong, or that exclude each other.
    """
    from stylegan_tf import latents
    from stylegan_tf.errors import UserError
    from stylegan_tf.figures import video

    cli.check_model(FLAGS.model)
    for text in (FLAGS.psi, FLAGS.psi_sweep):
        if text is not None:
            latents.parse_sweep(text)
    if FLAGS.grid and not FLAGS.grid.lower().endswith(".png"):
        raise UserError(f"--grid={FLAGS.grid} is written as PNG; name it x.png.")
    if FLAGS.save_latents and not FLAGS.save_latents.lower().endswith(".npz"):
        raise UserError(f"--save_latents={FLAGS.save_latents}: name it x.npz.")
    for names in (("video", "psi_sweep", "save_latents"), ("psi", "psi_sweep")):
        given = [name for name in names if FLAGS[name].value]
        if len(given) > 1:
            raise UserError(f"--{given[0]} and --{given[1]} do not go together.")
    _check_unheard()
    for name in ("seeds", "classes", "each_class", "psi_center"):
        if FLAGS.latents and FLAGS[name].value:
            raise UserError(f"--latents takes the place of --{name}; give one of them.")
    if FLAGS.video:
        video.check(FLAGS.video, FLAGS.fps)
    if FLAGS.seeds:
        latents.parse_numbers(FLAGS.seeds)


def _check_unheard() -> None:
    if not FLAGS.video:
        film = ("path", "frames", "fps", "loop")
        cli.refuse_flags(
            FLAGS, film, "is of a film; name its file with --video=walk.mp4."
        )
    sheet = FLAGS.grid and not FLAGS.video and not FLAGS.psi_sweep
    if not sheet:
        cli.refuse_flags(
            FLAGS, ["columns"], "is of a sheet; name one with --grid=x.png."
        )
    if FLAGS.video:
        cli.refuse_flags(FLAGS, ["grid", "out"], "is not used; --video names the file.")
    if FLAGS.grid:
        cli.refuse_flags(FLAGS, ["out"], "is for pictures; --grid names the sheet.")
    if not FLAGS.edit:
        why = "names directions; use one with --edit=NAME:2."
        cli.refuse_flags(FLAGS, ["directions"], why)


def _lineup(model, default: str):
    """The pictures of --seeds and --classes."""
    from stylegan_tf.latents import parse_numbers
    from stylegan_tf.sampling.lineup import lineup

    classes = parse_numbers(FLAGS.classes, "classes") if FLAGS.classes else None
    seeds = parse_numbers(FLAGS.seeds or default)
    how = (FLAGS.each_class, bool(FLAGS.grid), FLAGS.columns)
    return lineup(model, seeds, classes, *how)


def _truncation(model) -> dict:
    from stylegan_tf.latents import parse_psi

    text = FLAGS.psi or ("1" if FLAGS.latents else "0.7")
    return {"psi": parse_psi(text, model.config.num_styles), "cutoff": FLAGS.cutoff}


def _steering(model, mix: bool = True, edit: bool = True, **truncation):
    """What --mix and --edit do to styles; None if there is nothing to do."""
    from stylegan_tf import latents, sampling
    from stylegan_tf.latents import directions
    from stylegan_tf.sampling import steering

    count = sampling.drawn_styles(model)
    mixes = [latents.parse_mix(t, count) for t in FLAGS.mix] if mix else []
    edits = [latents.parse_edit(t, count) for t in FLAGS.edit] if edit else []
    file, known = FLAGS.directions, None
    if file and edits:
        c = model.config
        known = directions.load(file, c.num_styles, c.w_dim)
    find = steering.Finder(model, known)
    made = steering.Steering(model, mixes, edits, find, **truncation)
    return made if mixes or edits else None


def _subjects(model, default: str):
    """The pictures of --latents, or else of the seeds."""
    from stylegan_tf.sampling import steering

    if FLAGS.latents:
        return steering.of_file(model, FLAGS.latents)
    plan = _lineup(model, default)
    return steering.of_seeds(model, plan.seeds, plan.classes, FLAGS.psi_center, True)


def _mixed(model, who):
    """The same pictures with the styles that --mix asks for, not truncated."""
    import dataclasses

    mix = _steering(model, edit=False)
    return dataclasses.replace(who, ws=mix(who.ws, who.turns)) if mix else who


def _styles_of(model, who):
    """Truncated and edited styles, [N, num_styles, w_dim]."""
    edit = _steering(model, mix=False)
    ws = who.truncated(**_truncation(model))
    return edit(ws, who.turns) if edit else ws


# ---------------------------------------------------------------------------
# What is written


def _seeds(model) -> int:
    """Pictures of seeds, however many, a batch at a time."""
    from stylegan_tf import sampling

    plan, how = _lineup(model, "0-31"), _truncation(model)
    pictures = sampling.draw(
        model,
        plan.seeds,
        noise=FLAGS.noise,
        classes=plan.classes,
        progress=True,
        psi_center=FLAGS.psi_center,
        steer=_steering(model, psi_center=FLAGS.psi_center, **how),
        **how,
    )
    return _write(plan.names, plan.columns, (picture for _, picture in pictures))


def _styled(model) -> int:
    """Pictures of styles that are at hand as a whole, to be kept or from a file."""
    from stylegan_tf import latents, sampling
    from stylegan_tf.sampling import lineup, steering

    who = _subjects(model, "0-31")
    ws = _styles_of(model, _mixed(model, who))
    if FLAGS.latents:
        names, columns = lineup.safe_names(who.names), FLAGS.columns
        seeds = list(range(len(who)))
    else:
        plan = _lineup(model, "0-31")
        names, columns, seeds = plan.names, plan.columns, plan.seeds
    render = sampling.Renderer(model, FLAGS.noise)
    noise = who.noise if FLAGS.noise == "const" else None
    random = seeds if FLAGS.noise == "random" else None
    if FLAGS.save_latents:
        noise, random = noise or _own_noise(render, random), None
        kept = latents.Latents(ws, noise, tuple(names))
        print(kept.save(FLAGS.save_latents))
    return _write(names, columns, steering.render(render, ws, noise, random))


def _own_noise(render, seeds):
    """Maps that draw from a file what --noise draws now; None = those of the model."""
    import numpy as np

    if FLAGS.noise == "const":
        return None
    none = [np.zeros((1, *shape, 1), np.float32) for shape in render.shapes]
    return (none if seeds is None else render.noise_of(seeds)) or None


def _sweep(model) -> int:
    """A row a picture, a column a psi."""
    import dataclasses
    from pathlib import Path

    from stylegan_tf import figures, latents
    from stylegan_tf.figures import paper
    from stylegan_tf.figures.paper.truncation import psi_sweep

    who = _subjects(model, "0-3")
    painter = paper.Painter(model, paper.Options(progress=True), FLAGS.noise)
    if FLAGS.noise != "const":
        plan = None if FLAGS.latents else _lineup(model, "0-3")
        maps = painter.render.noise_of(plan.seeds if plan else list(range(len(who))))
        who = dataclasses.replace(who, noise=maps if FLAGS.noise == "random" else None)
    psis = latents.parse_sweep(FLAGS.psi_sweep)
    edit = _steering(model, mix=False)
    rows = psi_sweep(_mixed(model, who), psis, FLAGS.cutoff, painter.cells, edit)
    sheet = figures.table(rows, [f"psi = {psi:g}" for psi in psis], who.names)
    print(figures.save(FLAGS.grid or Path(FLAGS.out) / "psi_sweep.png", sheet))
    return 0


def _film(model) -> int:
    """From picture to picture, frame by frame."""
    from stylegan_tf import sampling
    from stylegan_tf.figures import video
    from stylegan_tf.sampling import steering

    who = _subjects(model, "0-5")
    way = steering.walk(model, who, FLAGS.path, FLAGS.frames, FLAGS.loop)
    ws = _styles_of(model, _mixed(model, way))
    render = sampling.Renderer(model, FLAGS.noise)
    maps = who.maps(0) if FLAGS.noise == "const" else None
    maps = render.noise_of([0]) if FLAGS.noise == "random" else maps
    frames = steering.render(render, ws, maps)
    print(video.write(FLAGS.video, frames, FLAGS.fps, total=len(ws), progress=True))
    return 0


def _write(names: Sequence[str], columns: int | None, pictures) -> int:
    """A sheet, or a file a picture."""
    from pathlib import Path

    import numpy as np

    from stylegan_tf import figures

    if FLAGS.grid:
        images = np.stack(list(pictures))
        columns = columns or figures.layout(*images.shape[1:3])[0]
        sheet = figures.grid(images, min(columns, len(images)))
        print(figures.save(FLAGS.grid, sheet))
        return 0
    for name, picture in zip(names, pictures, strict=True):
        figures.save(Path(FLAGS.out) / f"{name}.png", picture)
    count = len(set(names))  # a seed that was given twice is one file
    print(f"{count} picture{'s' * (count != 1)} in {FLAGS.out}")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS)
