r"""Draws pictures with a trained model.

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

A PNG carries its seed, psi, edits and model, and is drawn again, or otherwise:

    python launch/generate.py --from=out/seed0003.png --psi=0.5

Walk from picture to picture, as a film:

    python launch/generate.py --model=RUN --seeds=0-5 --video=walk.mp4
    python launch/generate.py --model=RUN --seeds=0-3 --video=walk.gif --path=z --fps=20

Or from a picture to its edit; that of a projected one may begin with the photo:

    python launch/generate.py --model=RUN --edit=pca0:2 --video=e.mp4 --path=edit
    python launch/generate.py --model=RUN --latents=out/projection/projected.npz \
      --edit=pca0:2 --video=me.mp4 --path=edit --photo=me.jpg

Grab points of the picture, X,Y in the pixels that the model draws, and drag them to
other places. --out then also holds dragged.npz, the styles, which --latents opens:

    python launch/generate.py --model=RUN --seeds=7 --drag=20,31:26,31
    python launch/generate.py --model=RUN --drag=20,31:26,31 --drag=9,8:9,8
    python launch/generate.py --model=RUN --drag=20,31:26,31 --drag_mask=m.png

Shift and rotate StyleGAN3's pictures at the network's input, also in a film:

    python launch/generate.py --model=RUN --translate=0.25,0 --rotate=30
    python launch/generate.py --model=RUN --seeds=7 --video=turn.mp4 --rotate=0:360
    python launch/generate.py --model=RUN --video=pan.mp4 --translate=0,0:0.25,0:0,0

With a conditional model the seeds take the classes in turn, and a file's name says
which one it got: seed0000-class2.png. --each_class draws every seed in every class. A
sheet has one row per class and one column per seed, unless --columns is given or there
is only one class.

A model that was trained with label vectors keeps those of some training pictures, and
the seeds take these in turn: seed0000-label2.png. --classes=2 names one of them,
--label gives another one. With classes, --label blends them:

    python launch/generate.py --model=RUN --seeds=0-7 --label=0.3,0.7,0.5
"""

import functools
from collections.abc import Sequence

from stylegan_tf_launch import cli, recipes

MOST_FRAMES = 3600  # two minutes from a picture to the next
MOST_LAYERS, MOST_COLUMNS, MOST_ENLARGED = 100, 1000, 64

FLAGS, define = cli.flag_set()
define.path("model", None, cli.MODEL)
define.string(
    "seeds",
    None,
    "Numbers and ranges: 0-31,100. By default 0-31; 0-3 for a sweep, 0-5 for a film.",
)
define.path(
    "latents",
    None,
    "Draw the styles in this .npz, .npy or .pt file instead of seeds, with the noise "
    "that an .npz file holds.",
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
    "A sheet with a column for each of these psi, -1,0,0.5,1, and a row per picture; "
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
    upper_bound=MOST_LAYERS,
)
define.enum(
    "noise",
    "const",
    ["const", "random", "none"],
    "Fine detail: the stored maps, maps drawn from the seed, or none. StyleGAN3 and "
    "DCGAN have no noise inputs, so random is refused.",
)
define.string(
    "classes",
    None,
    "Classes of a conditional model by number or name, 0-3,cats; given in turn to the "
    "seeds. By default every class in turn.",
)
define.multi_string(
    "label",
    [],
    "A label vector, such as 0.3,0.7,0.5, in place of the model's own labels; with "
    "classes, a share of each. Repeatable: the seeds take them in turn.",
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
    "pca0, sefa3, or a direction of --directions; or move a style channel such as "
    "s3.17, which directions.py --method=stylespace lists. Repeatable.",
)
define.multi_string(
    "drag",
    [],
    "X,Y:X,Y, in pixels of the model: what is at the first place is dragged to the "
    "second one (DragGAN). Repeatable; a point whose places are equal is held.",
)
define.path(
    "drag_mask",
    None,
    "A picture of the model's shape: only what is white in it may move.",
)
define.enum(
    "drag_space",
    "wplus",
    ["w", "wplus"],
    "Change the styles of all layers alike, or of each layer.",
)
define.integer("drag_steps", 300, "Most steps of a drag.", 1, 100_000)
define.string(
    "translate",
    None,
    "X,Y: move StyleGAN3's pictures to the right and down, 1 is the width of a "
    "picture. X,Y:X,Y:... are places that a film passes.",
)
define.string(
    "rotate",
    None,
    "DEGREES: turn StyleGAN3's pictures counterclockwise. D:D:... are angles that a "
    "film passes; of one seed it has --frames frames.",
)
define.path("directions", None, "Named directions, from launch/directions.py.")
define.path("out", "out", "Folder for the pictures.")
define.path(
    "grid",
    None,
    "Write one sheet to this file instead; of several classes, one row each.",
)
define.integer(
    "enlarge",
    None,
    "How many times each pixel is repeated in a picture's width and height; 1 = as the "
    "model draws. By default small pictures are made about 80 pixels large, as on "
    "sheets.",
    lower_bound=1,
    upper_bound=MOST_ENLARGED,
)
define.path(
    "from",
    None,
    "Draw this picture again, a PNG of generate.py, which carries its seed, psi, edits "
    "and model. Other flags change what they say.",
)
define.integer("columns", None, "Pictures in a row of the sheet.", 1, MOST_COLUMNS)
define.path("save_latents", None, "Write the styles to this .npz file, too.")
define.path("video", None, "Write a film, x.mp4 or x.gif, instead of pictures.")
define.enum(
    "path",
    "cubic",
    ["z", "linear", "cubic", "edit"],
    "How a film goes from picture to picture: great circles in Z, straight lines in W, "
    "or a smooth curve in W. edit: from each picture as it is to what --edit, --mix "
    "and --drag make of it, on a straight line in W.",
)
define.path(
    "photo",
    None,
    "A film with --path=edit begins with this picture, cropped and resized as by "
    "project.py, and fades to the one that is drawn.",
)
define.integer(
    "frames",
    30,
    "Frames of a film from a picture to the next.",
    lower_bound=1,
    upper_bound=MOST_FRAMES,
)
define.float("fps", 30, "Frames of a film a second.", 1, 1000)
define.bool("loop", True, "A film returns to its first picture.")


def main(argv: Sequence[str]) -> int:
    """Draws as the flags say; returns the exit code."""
    cli.announce_loading()
    if FLAGS["from"].value:
        recipes.draw_again(FLAGS, FLAGS["from"].value)
    _check()
    cli.load_tensorflow(exact=True, models=[FLAGS.model])
    from stylegan_tf import latents, models

    model, out = models.load(FLAGS.model), FLAGS.out
    _use_labels(model)
    if FLAGS.video and FLAGS.path == "edit":
        film = FLAGS.frames, FLAGS.fps, FLAGS.loop, _photo(model)
        print(_writer(model, "0").write_edit_film(FLAGS.video, *film))
    elif FLAGS.video:
        path = FLAGS.path, FLAGS.frames, FLAGS.fps, FLAGS.loop
        print(_writer(model, "0-5").write_film(FLAGS.video, *path))
    elif FLAGS.psi_sweep:
        psis = latents.parse_sweep(FLAGS.psi_sweep)
        file = FLAGS.grid or f"{out}/psi_sweep.png"
        print(_writer(model, "0-3").write_psi_sweep(file, psis))
    else:
        writer = _writer(model, "0" if FLAGS.drag else "0-31")
        dragged = f"{out}/dragged.npz" if FLAGS.drag else None
        if FLAGS.save_latents or dragged:
            print(writer.write_latents(FLAGS.save_latents or dragged))
        if FLAGS.grid:
            print(writer.write_sheet(FLAGS.grid))
        else:
            count = len(writer.write_images(out))
            print(f"{count} picture{'s' * (count != 1)} in {out}")
    return 0


def _photo(model):
    """Returns the photo that a film begins with, uint8 [H, W, C], or None."""
    from stylegan_tf.projector import targets

    c = model.config
    size = c.shape(model.growth.resolution), c.channels
    photo = FLAGS.photo
    return targets.read_targets([photo], *size, first=1).images[0] if photo else None


def _use_labels(model) -> None:
    """Gives the model the labels of --label, and says which labels it draws with."""
    from stylegan_tf import sampling
    from stylegan_tf.config.classes import numbered_names

    c = model.config
    if FLAGS.label:
        sampling.give_labels(model, [_numbers(text) for text in FLAGS.label])
    elif FLAGS.latents or not c.classes:
        return
    elif c.label_examples:
        print(
            f"labels: vectors of {c.classes} numbers, those of {c.label_examples} "
            f"training pictures in turn; --label=... gives another one"
        )
    elif c.class_names:
        print(f"classes: {numbered_names(c.class_names)}")
    else:
        print(f"classes: 0 to {c.classes - 1}")


def _numbers(text: str) -> list[float]:
    from stylegan_tf.errors import UserError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError as e:
        raise UserError(
            f"--label={text} is no label vector; write numbers, as in 0.3,0.7,0.5."
        ) from e


def _writer(model, seeds: str):
    """Returns the `ImageWriter` of the flags; `seeds` are those of the mode."""
    from stylegan_tf import latents
    from stylegan_tf.figures.outputs import ImageWriter

    psi, classes, names = FLAGS.psi, FLAGS.classes, model.config.class_names
    return ImageWriter(
        model,
        seeds=latents.parse_numbers(FLAGS.seeds or seeds),
        classes=latents.parse_classes(classes, names) if classes else None,
        each_class=FLAGS.each_class,
        latents_file=FLAGS.latents,
        psi=latents.parse_psi(psi, model.config.num_styles) if psi else None,
        cutoff=FLAGS.cutoff,
        psi_center=FLAGS.psi_center,
        noise=FLAGS.noise,
        mixes=FLAGS.mix,
        edits=FLAGS.edit,
        directions_file=FLAGS.directions,
        moves=latents.parse_moves(FLAGS.translate, FLAGS.rotate),
        sheet=bool(FLAGS.grid),
        columns=FLAGS.columns,
        enlarge=FLAGS.enlarge,
        describe=functools.partial(recipes.picture_facts, FLAGS),
        revise=functools.partial(_drag, model) if FLAGS.drag else None,
        progress=True,
    )


def _drag(model, start):
    """Drags points of each picture of `Latents`; returns what they became."""
    import dataclasses

    import numpy as np

    from stylegan_tf import latents, projector
    from stylegan_tf.projector.targets import read_mask

    drags, ws = latents.parse_drags(FLAGS.drag), []
    shape = model.config.shape(model.growth.resolution)
    mask = read_mask(FLAGS.drag_mask, shape) if FLAGS.drag_mask else None
    dragger = projector.Dragger(model, projector.DragSettings(space=FLAGS.drag_space))
    for i, name in enumerate(start.names):
        noise = [m[i : i + 1] if len(m) > 1 else m for m in start.noise or []]
        found = projector.drag_points(
            model,
            start.ws[i : i + 1],
            drags[:, 0],
            drags[:, 1],
            mask,
            noise or None,
            FLAGS.drag_steps,
            progress=True,
            dragger=dragger,
        )
        left = "" if found.arrived else f", {found.distances.max():.1f} pixels to go"
        print(f"{name}: {found.steps} steps{left}")
        ws.append(found.ws)
    return dataclasses.replace(start, ws=np.concatenate(ws))


def _check() -> None:
    """Checks the flags before a model is loaded.

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
    moves = latents.parse_moves(FLAGS.translate, FLAGS.rotate)
    if moves is not None and len(moves) > 1 and not FLAGS.video:
        raise UserError(
            "several places of --translate or --rotate are of a film; name its file "
            "with --video=walk.mp4."
        )
    if moves is not None and len(moves) > 1 and FLAGS.path == "edit":
        raise UserError("a film with --path=edit has one place of --translate.")
    latents.parse_drags(FLAGS.drag)
    if FLAGS.label and FLAGS.classes:
        raise UserError("--label takes the place of --classes; give one of them.")
    for name in ("seeds", "classes", "label", "each_class", "psi_center"):
        if FLAGS.latents and FLAGS[name].value:
            raise UserError(f"--latents takes the place of --{name}; give one of them.")
    if FLAGS.video:
        video.check_video(FLAGS.video, FLAGS.fps)
    if FLAGS.seeds:
        latents.parse_numbers(FLAGS.seeds)


def _check_unheard() -> None:
    """Refuses flags that would change nothing."""
    from stylegan_tf.errors import UserError

    to_edit = FLAGS.video and FLAGS.path == "edit"
    if FLAGS.drag:
        why = "does not go together with --drag; a film with --path=edit does."
        cli.refuse_flags(FLAGS, ["psi_sweep"] + ["video"] * (not to_edit), why)
        why = "moves the picture under the points of --drag; leave one of them out."
        cli.refuse_flags(FLAGS, ["translate", "rotate"], why)
    else:
        of_drag = ["drag_mask", "drag_space", "drag_steps"]
        cli.refuse_flags(FLAGS, of_drag, "is of --drag=X,Y:X,Y; add that.")
    if not FLAGS.video:
        film = ("path", "frames", "fps", "loop", "photo")
        cli.refuse_flags(
            FLAGS, film, "is of a film; name its file with --video=walk.mp4."
        )
    if FLAGS.video and not to_edit:
        cli.refuse_flags(FLAGS, ["photo"], "is of a film with --path=edit; add that.")
    if to_edit and not (FLAGS.edit or FLAGS.mix or FLAGS.drag or FLAGS.photo):
        raise UserError("--path=edit goes from the picture to its --edit; add one.")
    if FLAGS.psi_sweep:
        why = "is not drawn in a sweep of psi; use it without --psi_sweep."
        cli.refuse_flags(FLAGS, ["translate", "rotate"], why)
    sheet = FLAGS.grid and not FLAGS.video and not FLAGS.psi_sweep
    if not sheet:
        cli.refuse_flags(
            FLAGS, ["columns"], "is of a sheet; name one with --grid=x.png."
        )
    if FLAGS.video or FLAGS.psi_sweep:
        cli.refuse_flags(FLAGS, ["enlarge"], "is of pictures and sheets.")
    if FLAGS.video:
        cli.refuse_flags(FLAGS, ["grid", "out"], "is not used; --video names the file.")
    if FLAGS.grid:
        cli.refuse_flags(FLAGS, ["out"], "is for pictures; --grid names the sheet.")
    if not FLAGS.edit:
        why = "names directions; use one with --edit=NAME:2."
        cli.refuse_flags(FLAGS, ["directions"], why)


if __name__ == "__main__":
    cli.run(main, FLAGS)
