"""Recipes of pictures, written into PNGs and read with --from.

A picture carries the flags of generate.py that draw it, a figure those of figures.py;
see `figures.facts`.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags
from stylegan_tf_launch import parsing

from stylegan_tf.errors import UserError
from stylegan_tf.files import parse_json

# Flags that a picture depends on. Nothing else is taken from a file.
FLAGS = ("model", "seeds", "classes", "label", "latents", "psi", "psi_center", "cutoff")
FLAGS += ("noise", "mix", "edit", "directions", "translate", "rotate", "enlarge")
FLAGS += ("each_class", "columns", "psi_sweep")
FLAGS += ("drag", "drag_mask", "drag_space", "drag_steps")
SHEETS = ("each_class", "columns", "psi_sweep")  # flags of several pictures
FIGURES = ("figure", "model", "seeds", "latents", "rows", "cols", "styles", "psi")
FIGURES += ("cutoff", "psi_sweep", "classes", "directions", "cell")
# Kind of a picture -> the verb that draws it.
VERBS = {"picture": "generate", "sheet": "generate", "figure": "figures"}


def picture_facts(
    values: flags.FlagValues, seeds: Sequence[int], classes: Sequence[int] | None
) -> dict[str, str]:
    """Returns the texts of a PNG.

    Args:
        values: flags of generate.py.
        seeds: of the picture, or of all pictures of a sheet.
        classes: class or label number of each; None without classes.
    """
    kind = "sheet" if values.grid or values.psi_sweep else "picture"
    given: dict[str, object] = {}
    for name in FLAGS:
        if values[name].present and (kind == "sheet" or name not in SHEETS):
            given[name] = values[name].value
    if not values.latents:
        given |= _subject(values, seeds, classes, kind)
    from stylegan_tf.figures.facts import picture_texts

    psi = values.psi or ("1" if values.latents else "0.7")
    return picture_texts(kind, given, Psi=values.psi_sweep or psi)


def _subject(
    values: flags.FlagValues,
    seeds: Sequence[int],
    classes: Sequence[int] | None,
    kind: str,
) -> dict[str, object]:
    """Returns the flags that name what is drawn: seeds, and classes or a label."""
    if kind == "sheet":
        usual = "0-3" if values.psi_sweep else "0" if values.drag else "0-31"
        return {"seeds": values.seeds or usual}
    if classes is None:
        return {"seeds": str(seeds[0])}
    if values.label:
        label = values.label[classes[0] % len(values.label)]
        return {"seeds": str(seeds[0]), "label": [label]}
    return {"seeds": str(seeds[0]), "classes": str(classes[0])}


def figure_facts(
    values: flags.FlagValues,
    name: str,
    seeds: Sequence[int],
    psi: str,
    cell: int | None,
) -> dict[str, str]:
    """Returns the texts of a figure's PNG.

    Args:
        values: flags of figures.py.
        name: of the figure.
        seeds: of its pictures.
        psi: its truncation.
        cell: pixels of its cells; None = the default.
    """
    from stylegan_tf.figures.facts import picture_texts

    given = {flag: values[flag].value for flag in FIGURES if values[flag].present}
    given |= {"figure": name} | ({"cell": cell} if cell else {})
    shown = ",".join(str(seed) for seed in dict.fromkeys(seeds))
    return picture_texts("figure", given, Figure=name, Seed=shown, Psi=psi)


def draw_figure_again(values: flags.FlagValues, picture: str) -> None:
    """Sets the flags that a figure was drawn with, but for those that are given.

    Args:
        values: flags of figures.py.
        picture: a PNG that figures.py has written.

    Raises:
        UserError: no such file, or no figure.
    """
    recipe = _read_recipe(picture, "figures")
    given = {name for name in FIGURES if values[name].present}
    if given & {"seeds", "latents"}:
        given |= {"seeds", "latents"}
    _set_flags(values, recipe["flags"], [n for n in FIGURES if n not in given], picture)


def draw_again(values: flags.FlagValues, picture: str) -> None:
    """Sets the flags that a picture was drawn with, but for those that are given.

    Args:
        values: flags of generate.py.
        picture: a PNG that generate.py has written.

    Raises:
        UserError: no such file, or nothing in it that generate.py can draw.
    """
    recipe = _read_recipe(picture, "generate")
    given = {name for name in FLAGS if values[name].present}
    if given & {"seeds", "latents"}:  # another subject
        given |= {"seeds", "latents", "classes", "label"}
    if given & {"classes", "label"}:
        given |= {"classes", "label"}
    if given & {"psi", "psi_sweep"}:
        given |= {"psi", "psi_sweep"}
    _set_flags(values, recipe["flags"], [n for n in FLAGS if n not in given], picture)
    if recipe["kind"] == "sheet" and not values.grid and not values.psi_sweep:
        values["grid"].parse(str(Path(values.out) / Path(picture).name))
        values["out"].unparse()  # of pictures


def _set_flags(
    values: flags.FlagValues, recipe: dict, wanted: Sequence[str], picture: str
) -> None:
    """Sets the wanted flags as a recipe says; a model is not fetched unasked."""
    model = str(recipe.get("model", ""))
    if "model" in wanted and "://" in model:
        raise UserError(
            f"{picture} was drawn by the model at {model}; say --model={model} if it "
            f"shall be fetched."
        )
    for name, value in recipe.items():
        if name in wanted:
            _set_flag(values, name, value, picture)
    if "model" in wanted and model:
        _check_model(model, picture)


def _check_model(model: str, picture: str) -> None:
    from stylegan_tf_launch import cli

    try:
        cli.find_models([model])
    except UserError as error:
        raise UserError(
            f"{picture} was drawn by the model at {model}, which is not found from "
            f"this folder; say where it is with --model=..."
        ) from error


def _set_flag(values: flags.FlagValues, name: str, value: object, picture: str) -> None:
    texts = value if isinstance(value, list) else [value]
    try:
        for text in texts:
            values[name].parse(text if isinstance(text, bool) else str(text))
    except flags.Error as error:
        raise UserError(f"{picture} cannot be drawn again: {error}") from error
    values[name].present += 1


def _read_recipe(picture: str, verb: str) -> dict:
    """Reads the recipe of a PNG that a verb, "generate" or "figures", draws."""
    from PIL import Image

    from stylegan_tf.figures.facts import KEY

    try:
        with Image.open(parsing.expand_home(picture), formats=["PNG"]) as image:
            text = image.info.get(KEY)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"--from={picture} is no PNG that can be read.") from error
    try:
        recipe = parse_json(str(text)) if text else None
    except ValueError:
        recipe = None
    kind = recipe.get("kind") if isinstance(recipe, dict) else None
    if kind not in VERBS or not isinstance(recipe.get("flags"), dict):
        raise UserError(
            f"--from={picture} does not say how it was drawn; pictures of generate.py "
            f"and figures.py do."
        )
    if VERBS[kind] != verb:
        raise UserError(
            f"{picture} is a {kind}, which {VERBS[kind]}.py --from={picture} draws."
        )
    return recipe
