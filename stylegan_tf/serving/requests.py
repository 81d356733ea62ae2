"""Reads what a request asks for: parameters to the images of one answer.

Parameters have the names and the notation of generate.py's flags, so that a picture's
recipe is the flags that draw it again. No TensorFlow at work and no web library.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stylegan_tf import latents
from stylegan_tf.config import GeneratorConfig
from stylegan_tf.config.limits import shortened
from stylegan_tf.errors import UserError
from stylegan_tf.latents import Edit, Mix

FORMATS = ("png", "jpeg", "json")
NOISE, CENTERS = ("const", "random", "none"), ("class", "global")
MOST_SIDE = 4096  # pixels of an enlarged image
MOST_PIXELS = 1 << 26  # of all images of an answer
MOST_STEPS = 16  # mixes, edits, labels of a request
OWN = r"(pca|sefa)[0-9]{1,5}"  # directions that are found in the model itself
# A class or label number, a label vector of the request's own, or None.
Label = int | tuple[float, ...] | None


@dataclass(frozen=True)
class ModelFacts:
    """Facts about the model that requests are checked against.

    Attributes:
        name: the model on a command line.
        config: of the generator.
        shape: height, width and channels of its images.
        layers: styles of its images.
        labels: number of classes, or of label vectors; 0 = unconditional.
        vectors: True if its labels are vectors.
        noisy: True if it has noise inputs.
        directions_file: named directions, or None.
        directions: their names.
    """

    name: str
    config: GeneratorConfig
    shape: tuple[int, int, int]
    layers: int
    labels: int = 0
    vectors: bool = False
    noisy: bool = True
    directions_file: str | None = None
    directions: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ImageRequest:
    """The images of one answer.

    Attributes:
        seeds: one per image.
        labels: one per image.
        psi: truncation per layer, float32 [num_styles].
        center: "class" or "global", what truncation pulls towards.
        noise: "const", "random" or "none".
        mixes, edits: in their order.
        move: x, y and degrees of StyleGAN3's pictures; None = as the model has it.
        enlarge: how many times each pixel is repeated in width and height.
        format: one of `FORMATS`.
        flags: of generate.py, in the request's own words.
    """

    seeds: tuple[int, ...]
    labels: tuple[Label, ...]
    psi: np.ndarray
    center: str = "global"
    noise: str = "const"
    mixes: tuple[Mix, ...] = ()
    edits: tuple[Edit, ...] = ()
    move: tuple[float, float, float] | None = None
    enlarge: int = 1
    format: str = "png"
    flags: Mapping[str, object] = field(default_factory=dict)

    def recipe(self, number: int, facts: ModelFacts) -> dict[str, object]:
        """Returns the flags of generate.py that draw one of the images."""
        subject: dict[str, object] = {"seeds": str(self.seeds[number])}
        label = self.labels[number]
        if isinstance(label, int):
            subject["classes"] = str(label)
        elif label is not None:
            subject["label"] = [",".join(map(repr, label))]
        own = {name: self.flags[name] for name in _KEPT if name in self.flags}
        if "cutoff" in own:
            own["cutoff"] = int(str(own["cutoff"]))
        own |= {"model": facts.name, "enlarge": self.enlarge} | subject
        if {edit.name for edit in self.edits} & set(facts.directions):
            own["directions"] = facts.directions_file
        return own


_KEPT = ("psi", "psi_center", "cutoff", "noise", "mix", "edit", "translate", "rotate")


def flag_texts(values: Mapping[str, object]) -> dict[str, str | list[str]]:
    """Returns parameters as generate.py's flags: [0, 1] -> "0,1".

    Args:
        values: name -> number, text, list of numbers, or list of such for `mix`, `edit`
            and `label`; None = not given.
    """
    flags: dict[str, str | list[str]] = {}
    for name, value in values.items():
        if value is None:
            continue
        if name in ("mix", "edit", "label"):
            if value == []:
                continue
            several = isinstance(value, list) and not isinstance(value[0], float | int)
            flags[name] = [_text(row) for row in (value if several else [value])]
        else:
            flags[name] = _text(value)
    return flags


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def read_request(
    flags: Mapping[str, str | list[str]], facts: ModelFacts, most: int
) -> ImageRequest:
    """Returns the request that parameters describe.

    Args:
        flags: parameters as `flag_texts` gives them.
        facts: of the model.
        most: images of an answer.

    Raises:
        UserError: what is wrong with them, in a sentence that names parameters.
    """
    try:
        return _read(flags, facts, most)
    except UserError as error:  # the parsers name flags
        raise UserError(re.sub(r"--(?=[a-z])", "", str(error))) from error


def _read(
    flags: Mapping[str, str | list[str]], facts: ModelFacts, most: int
) -> ImageRequest:
    def one(name: str, default: str = "") -> str:
        return str(flags.get(name, default))

    def several(name: str) -> list[str]:
        texts = list(flags.get(name, ()))
        if len(texts) > MOST_STEPS:
            raise UserError(
                f"{len(texts)} values of {name} were given; the most are {MOST_STEPS}."
            )
        return texts

    seeds = latents.parse_numbers(one("seeds", "0"))
    if len(seeds) > most:
        raise UserError(f"{len(seeds)} seeds were given; an answer has {most} at most.")
    psi, cutoff = one("psi", "0.7"), _number("cutoff", one("cutoff"), 0, 100)
    psis = latents.parse_psi(psi, facts.config.num_styles)
    conditional = facts.config.classes > 0
    center = _choice("psi_center", one("psi_center"), CENTERS)
    if center == "class" and not conditional:
        raise UserError("the model is unconditional; psi_center is global.")
    noise = _choice("noise", one("noise"), NOISE) or "const"
    if noise == "random" and not facts.noisy:
        raise UserError("the model has no noise inputs; leave noise out.")
    format = _choice("format", one("format"), FORMATS)
    format = format or ("png" if len(seeds) == 1 else "json")
    if format != "json" and len(seeds) > 1:
        raise UserError(
            f"{format} is one picture, and {len(seeds)} seeds were given; ask for "
            f"format=json."
        )
    return ImageRequest(
        tuple(seeds),
        _labels(one("classes"), several("label"), len(seeds), facts),
        latents.layer_psi(psis, cutoff, facts.config.num_styles),
        center or ("class" if conditional else "global"),
        noise,
        tuple(latents.parse_mix(t, facts.layers) for t in several("mix")),
        tuple(_edit(text, facts) for text in several("edit")),
        _move(flags, facts),
        _enlargement(one("enlarge"), len(seeds), facts),
        format,
        flags,
    )


def _choice(name: str, text: str, choices: Sequence[str]) -> str:
    if text and text not in choices:
        raise UserError(f"{name} is {shortened(text)}; it is {' or '.join(choices)}.")
    return text


def _number(name: str, text: str, least: int, most: int) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise UserError(
            f"{name} is {shortened(text)}; it is a whole number from {least} to {most}."
        )
    return int(text)


def _labels(
    classes: str, vectors: Sequence[str], count: int, facts: ModelFacts
) -> tuple[Label, ...]:
    """Returns the label of each of `count` images; labels are taken in turn."""
    kind = "label" if facts.vectors else "class"
    if not facts.labels:
        if classes or vectors:
            raise UserError("the model has no classes; leave classes and label out.")
        return (None,) * count
    if classes and vectors:
        raise UserError("label takes the place of classes; give one of them.")
    chosen: Sequence[Label] = range(facts.labels)
    if vectors:
        chosen = [_vector(text, facts.config.classes) for text in vectors]
    elif classes:
        chosen = numbers = latents.parse_classes(classes, facts.config.class_names)
        for k in numbers:
            if k >= facts.labels:
                raise UserError(
                    f"{kind} {k} was asked for; the model has 0 to {facts.labels - 1}."
                )
    return tuple(chosen[i % len(chosen)] for i in range(count))


def _edit(text: str, facts: ModelFacts) -> Edit:
    edit = latents.parse_edit(text, facts.layers)
    if edit.name not in facts.directions and not re.fullmatch(OWN, edit.name):
        known = "".join(f"{name}, " for name in facts.directions)
        raise UserError(
            f"there is no direction {shortened(edit.name)}; there are {known}pca0, "
            f"pca1, ..., sefa0, ..., and those of a file that the server is started "
            f"with."
        )
    return edit


def _vector(text: str, width: int) -> tuple[float, ...]:
    try:
        row = tuple(float(part) for part in text.split(","))
    except ValueError:
        row = ()
    if len(row) != width or not np.isfinite(np.array(row, np.float32)).all():
        raise UserError(
            f"label {shortened(text)} is no vector of {width} numbers, which the model "
            f"takes."
        )
    return row


def _move(
    flags: Mapping[str, str | list[str]], facts: ModelFacts
) -> tuple[float, float, float] | None:
    given = {name: flags.get(name) for name in ("translate", "rotate")}
    texts = {k: None if v is None else str(v) for k, v in given.items()}
    places = latents.parse_moves(texts["translate"], texts["rotate"])
    if places is None:
        return None
    if len(places) > 1:
        raise UserError("translate and rotate take one place; several are of films.")
    if facts.config.architecture != "stylegan3":
        raise UserError(
            f"only StyleGAN3's pictures are shifted and rotated; this model's "
            f"architecture is {facts.config.architecture}."
        )
    x, y, degrees = (float(value) for value in places[0])
    return x, y, degrees


def _enlargement(text: str, count: int, facts: ModelFacts) -> int:
    height, width, _ = facts.shape
    most = max(1, MOST_SIDE // max(height, width))
    factor = _number("enlarge", text, 1, most) or 1
    if count * height * width * factor**2 > MOST_PIXELS:
        raise UserError(
            f"{count} pictures of {height * factor}x{width * factor} are more than the "
            f"{MOST_PIXELS:,} pixels of an answer; ask for fewer at a time."
        )
    return factor
