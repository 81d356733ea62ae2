"""Draws the figures of the StyleGAN paper with any model.

    python launch/figures.py --model=runs/00000-demo-demo --figure=all --out=figures
    python launch/figures.py --model=RUN --figure=mixing --out=mixing.png
    python launch/figures.py --model=RUN --figure=mixing --styles=0-3 --cols=4 --rows=3
    python launch/figures.py --model=RUN --figure=truncation --psi_sweep=1,0.5,0,-0.5
    python launch/figures.py --model=RUN --figure=interpolation --out=walk.gif --fps=20
    python launch/figures.py --model=RUN --figure=directions --directions=found.npz
    python launch/figures.py --model=RUN --figure=truncation --latents=projected.npz

Figures:
    uncurated      what comes, nothing chosen, in several sizes (figures 2, 10 to 12)
    mixing         styles of some layers from other pictures (3)
    noise          one style under 100 draws of noise: windows, deviation (4)
    noise_layers   noise on all layers, none, the fine ones, the coarse ones (5)
    truncation     psi from 1 over 0 to -1 (8)
    interpolation  between pictures, in Z and in W; x.gif or x.mp4 makes it a film
    directions     along the main axes of w (GANSpace), along what the styles' affines
                   answer to most (SeFa), or along those of a file
    all            each of them in a folder, and page.png and page.pdf with all

Seeds, layers and psi are the paper's, and so are the windows at 1024x1024 pixels.
Smaller pictures are enlarged, and psi is 0.7 where the paper's is 1. What a model lacks
is said: DCGAN has neither noise nor styles to mix.
"""

from collections.abc import Sequence

from stylegan_tf_launch import cli, recipes

NAMES = ("uncurated", "mixing", "noise", "noise_layers", "truncation")
NAMES += ("interpolation", "directions", "all")
MOST = 64  # rows and columns
# Flags that some figures have no use for: figures that do, other than all.
USES = {
    "cols": ("uncurated", "mixing", "interpolation", "directions"),
    "styles": ("mixing",),
    "psi_sweep": ("truncation",),
    "directions": ("directions",),
    "psi": [name for name in NAMES if name != "truncation"],
}

FLAGS, define = cli.flag_set()
define.path("model", None, cli.MODEL)
define.enum("figure", "all", NAMES, "Which one.")
define.string(
    "seeds",
    None,
    "Seeds in place of the paper's, 0-31,100. For mixing first those of the columns, "
    "then those of the rows; interpolation takes them in pairs.",
)
define.path(
    "latents",
    None,
    "Styles in place of seeds: an .npz file of a projection or of generate's "
    "--save_latents. For mixing they are the rows.",
)
define.integer("rows", None, "Rows; of directions, rows of each kind.", 1, MOST)
define.integer("cols", None, "Columns.", 1, MOST)
define.string(
    "styles",
    None,
    "Layers whose styles mixing takes from the columns, in every row: 0-3, 8-, or "
    "coarse, middle, fine. By default coarse, middle and fine in turn.",
)
define.string("psi", None, "Truncation, or a number a layer, 0.5,0.5,1.")
define.integer(
    "cutoff", None, "Truncate only so many layers, from the coarsest.", 0, 100
)
define.string("psi_sweep", None, "The truncation's columns: 1,0.5,0.")
define.string("classes", None, "Classes, by number or name, that seeds take in turn.")
define.path("directions", None, "Directions from launch/directions.py.")
define.integer(
    "cell",
    None,
    "Pixels of a picture's shorter side, about. By default the model's, enlarged to "
    "128 if smaller; for all at most 256.",
    16,
    1024,
)
define.path(
    "out",
    None,
    "The file, x.png or x.pdf, or a film of interpolation, x.gif or x.mp4. For all the "
    "folder. By default FIGURE.png, and the folder figures.",
)
define.path(
    "from",
    None,
    "Draw this figure again, a PNG of figures.py. Other flags change what they say.",
)
define.enum("path", "cubic", ["z", "linear", "cubic"], "Of a film.")
define.integer("frames", 30, "Of a film, from picture to picture.", 1, 3600)
define.float("fps", 30, "Frames of a film a second.", 1, 1000)
define.bool("loop", True, "A film returns to its start.")


def main(argv: Sequence[str]) -> int:
    """Draws as the flags say; returns the exit code."""
    cli.announce_loading()
    if FLAGS["from"].value:
        recipes.draw_figure_again(FLAGS, FLAGS["from"].value)
    out = _check()
    cli.load_tensorflow(exact=True, models=[FLAGS.model])
    from stylegan_tf import figures, models
    from stylegan_tf.figures import paper, video

    model = models.load(FLAGS.model)
    options = _options(model)
    if FLAGS.figure == "all":
        files = paper.draw_all_figures(model, options, out, describe=_describe)
        print("\n".join(map(str, files)))
        return 0
    if video.is_video(out):
        frames, count = paper.interpolation_frames(
            model, options, FLAGS.path, FLAGS.frames, FLAGS.loop
        )
        print(video.write_video(out, frames, FLAGS.fps, count, progress=True))
        return 0
    painter = paper.Painter(model, options)
    figure = paper.draw_figure(FLAGS.figure, model, options, painter)
    texts = _describe(FLAGS.figure, painter)
    print(figures.save_image(out, figure.image, texts))
    print(figure.caption)
    return 0


def _describe(name: str, painter) -> dict[str, str]:
    facts = painter.seeds, painter.psi, painter.options.cell
    return recipes.figure_facts(FLAGS, name, *facts)


def _check() -> str:
    """Checks the flags before a model is loaded; returns the path to write to."""
    from stylegan_tf import latents
    from stylegan_tf.errors import UserError
    from stylegan_tf.figures import video

    cli.check_model(FLAGS.model)
    for text in (FLAGS.psi, FLAGS.psi_sweep):
        if text is not None:
            latents.parse_sweep(text)
    if FLAGS.seeds and FLAGS.latents and FLAGS.figure != "mixing":
        raise UserError("--latents takes the place of --seeds; give one of them.")
    every = FLAGS.figure == "all"
    out = FLAGS.out or ("figures" if every else f"{FLAGS.figure}.png")
    film, picture = video.is_video(out), out.lower().endswith((".png", ".pdf"))
    if film and FLAGS.figure != "interpolation":
        raise UserError(f"--out={out} is a film; only interpolation makes one.")
    if not (every or film or picture):
        raise UserError(f"--out={out} is written as a picture; name it x.png or x.pdf.")
    if every and picture:
        raise UserError(f"--out={out} is a file; --figure=all fills a folder.")
    _check_unheard(film)
    if film:
        video.check_video(out, FLAGS.fps)
    return out


def _check_unheard(film: bool) -> None:
    for name, figures in USES.items():
        if FLAGS.figure not in (*figures, "all"):
            cli.refuse_flags(
                FLAGS, [name], f"means nothing to --figure={FLAGS.figure}."
            )
    if film:
        cli.refuse_flags(
            FLAGS, ["rows", "cols", "cell"], "is of a picture, not of a film."
        )
    else:
        names = ("path", "frames", "fps", "loop")
        cli.refuse_flags(FLAGS, names, "is of a film; write one with --out=walk.mp4.")


def _options(model):
    """Returns the `FigureOptions` of the flags."""
    from stylegan_tf import latents, sampling
    from stylegan_tf.figures import paper
    from stylegan_tf.latents.directions import load_directions
    from stylegan_tf.sampling import StyleBatch

    styles = sampling.drawn_styles(model)
    seeds = latents.parse_numbers(FLAGS.seeds) if FLAGS.seeds else None
    classes, names = FLAGS.classes, model.config.class_names
    psi = latents.parse_psi(FLAGS.psi, model.config.num_styles) if FLAGS.psi else None
    c, file, latents_file = model.config, FLAGS.directions, FLAGS.latents
    return paper.FigureOptions(
        seeds=seeds,
        styles=StyleBatch.from_file(model, latents_file) if latents_file else None,
        rows=FLAGS.rows,
        columns=FLAGS.cols,
        psi=1.0 if psi is None and latents_file else psi,
        cutoff=FLAGS.cutoff,
        sweep=latents.parse_sweep(FLAGS.psi_sweep) if FLAGS.psi_sweep else None,
        layers=latents.parse_layers(FLAGS.styles, styles) if FLAGS.styles else None,
        classes=latents.parse_classes(classes, names) if classes else None,
        directions=load_directions(file, c.num_styles, c.w_dim) if file else None,
        cell=FLAGS.cell,
        progress=True,
    )


if __name__ == "__main__":
    cli.run(main, FLAGS)
