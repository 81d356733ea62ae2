"""Writes the command lines that repeat what a page did: pictures, films, searches."""

import shlex
from dataclasses import dataclass, replace

from stylegan_tf.command_line import command_words
from stylegan_tf.errors import UserError
from stylegan_tf.explorer.engine import Engine
from stylegan_tf.explorer.state import ImageState, OwnPicture
from stylegan_tf.figures import video

MASK = "mask.png"
FRAMES, FPS = 60, 30  # of a film: steps from end to end; per second


@dataclass(frozen=True)
class Command:
    """A command line that repeats something.

    Attributes:
        title: says what, or why no command does.
        words: for a shell, in the folder that the page was started in; none if nothing
            repeats it.
        why: the reason why flags do not suffice and a file of the final styles is
            needed, as a clause; empty where they do.
        latents: name of the file of styles that it reads, or None.
        mask: name of the file of a mask that it reads, or None.
    """

    title: str = ""
    words: tuple[str, ...] = ()
    why: str = ""
    latents: str | None = None
    mask: str | None = None

    @property
    def line(self) -> str:
        """The words in one line, quoted where a shell needs it."""
        return shlex.join(self.words)


def command_for(engine: Engine, state: ImageState) -> Command:
    """Returns the command line that draws the image of a state."""
    why = _beyond_flags(engine, state)
    if why:
        title = f"No flags draw this alone: {why}. With its styles saved:"
        file = f"{download_name(state).removesuffix('.png')}.npz"
        moves = _moves(engine, state)
        return Command(title, _words(engine, f"--latents={file}", *moves), why, file)
    own = state.picture.file if state.picture else None
    title = "The same picture, to the bit:"
    if state.drag is not None:
        title = "Drags the same points again; its styles are the picture, to the bit:"
    elif own:
        title = "With its styles saved, the same picture, to the bit:"
    held = state.drag is not None and state.drag.mask is not None
    words = _words(engine, *_flags(engine, state))
    return Command(title, words, latents=own, mask=MASK if held else None)


def other_commands(engine: Engine, state: ImageState) -> list[Command]:
    """Returns the commands of how a picture was found, and of its film."""
    commands = []
    if engine.tuned_to is not None:
        commands.append(_tuning_command(engine))
    if state.picture is not None and state.picture.model == engine.path:
        commands.append(_projection_command(state.picture))
    if film_ends(state) is not None:
        commands.append(_film_command(engine, state))
    return commands


def _projection_command(own: OwnPicture) -> Command:
    title = f"Searches for {own.photo} again; its styles are then in {_folder(own)}:"
    if own.taken < own.steps:
        return Command(_stopped(own))
    return Command(title, _search_words(own))


def _tuning_command(engine: Engine) -> Command:
    assert engine.tuned_to is not None
    own, steps = engine.tuned_to
    if own.taken < own.steps:
        return Command(f"No command tunes this model again: {_stopped(own)}")
    title = (
        f"Tunes the model to {own.photo} again; it is then {_folder(own)}/tuned.npz:"
    )
    return Command(title, (*_search_words(own), "--tune", f"--tune_steps={steps}"))


def _stopped(own: OwnPicture) -> str:
    return (
        f"The search for {own.photo} was stopped at step {own.taken} of {own.steps}, "
        f"which no command repeats; save its styles."
    )


def _search_words(own: OwnPicture) -> tuple[str, ...]:
    photo = own.photo
    if any(c in photo for c in ',"'):  # --images takes several, with commas
        photo = '"{}"'.format(photo.replace('"', '""'))
    words = (*command_words("project"), f"--model={own.model}", f"--images={photo}")
    words += (f"--space={own.space}", f"--steps={own.steps}", f"--out={_folder(own)}")
    return (*words, f"--encoder={own.encoder}") if own.encoder else words


def _folder(own: OwnPicture) -> str:
    return f"out/{own.name}"


def film_ends(state: ImageState) -> tuple[ImageState, ImageState] | None:
    """Returns the first and the last picture of a state's film; None = nothing moves.

    The film of a user's own picture begins with the photo.
    """
    first = state.original
    return None if first == state and state.picture is None else (first, state)


def film_name() -> str:
    """Returns the name of a film that can be written here."""
    try:
        video.check_video("film.mp4", FPS)
    except UserError:  # no ffmpeg
        return "film.gif"
    return "film.mp4"


def _film_command(engine: Engine, state: ImageState) -> Command:
    if why := _beyond_flags(engine, state):
        return Command(f"No flags make its film: {why}.")
    flags = [*_flags(engine, state), f"--video={film_name()}", "--path=edit"]
    flags += [f"--frames={FRAMES}", f"--fps={FPS}", "--noloop"]
    if state.picture is not None:
        flags.append(f"--photo={state.picture.photo}")
    return Command("Its film:", _words(engine, *flags))


def download_name(state: ImageState) -> str:
    """Returns the name of a saved image, the same that `generate` gives."""
    return f"{state.picture.name if state.picture else f'seed{state.seed:04d}'}.png"


def sheet_command(engine: Engine, state: ImageState, count: int) -> Command:
    """Returns the command line of a sheet of `count` seeds, from the state's on."""
    seeds = f"--seeds={state.seed}-{state.seed + count - 1}"
    plain = replace(state, picture=None, drag=None, walk=())
    flags = [f for f in _flags(engine, plain) if not f.startswith("--seeds=")]
    return Command(words=_words(engine, seeds, *flags, "--grid=sheet.png"))


def _words(engine: Engine, *flags: str) -> tuple[str, ...]:
    return (*command_words("generate"), f"--model={engine.path}", *flags)


def _beyond_flags(engine: Engine, state: ImageState) -> str:
    """Returns the parts of a state that no flag can express, as a clause, or ""."""
    partly = state.noise != "none" and state.muted & set(engine.resolutions)
    reasons = []
    if any(right or down for _, right, down in state.walk):
        reasons.append("it was dragged through a random plane")
    if partly and not _is_silent(engine, state):
        reasons.append("only some resolutions have noise")
    if state.drag is not None:
        if state.drag.start.drag is not None:
            reasons.append("points were dragged more than once")
        elif replace(state, drag=None) != state.drag.start:
            reasons.append("it was changed after points were dragged")
    return " and ".join(reasons)


def _is_silent(engine: Engine, state: ImageState) -> bool:
    """True if no layer has noise."""
    return state.noise == "none" or set(engine.resolutions) <= state.muted


def _flags(engine: Engine, state: ImageState) -> list[str]:
    own = state.picture
    flags = [f"--latents={own.file}" if own else f"--seeds={state.seed}"]
    flags.append(f"--psi={state.psi:g}")
    if state.cutoff is not None:
        flags.append(f"--cutoff={state.cutoff}")
    if engine.resolutions and (_is_silent(engine, state) or state.noise != "const"):
        flags.append(f"--noise={'none' if _is_silent(engine, state) else state.noise}")
    if state.label is not None and not own:
        flags.append(f"--classes={state.label}")
    for group, seed in zip(engine.groups, state.mixes, strict=False):
        if seed is not None:
            flags.append(f"--mix={seed}@{group.text}")
    group = engine.edit_group(state)
    reach = f"@{group.text}" if group else ""
    flags += [f"--edit={name}:{a:g}{reach}" for name, a in state.edits.items()]
    if engine.choice.from_file & set(state.edits):
        flags.append(f"--directions={engine.choice.file}")
    return flags + _drag_flags(state) + _moves(engine, state)


def _drag_flags(state: ImageState) -> list[str]:
    """Returns the flags that drag the same points again."""
    drag = state.drag
    if drag is None:
        return []
    places = drag.points.reshape(-1, 4).tolist()
    flags = [f"--drag={a},{b}:{c},{d}" for a, b, c, d in places]
    if drag.mask is not None:
        flags.append(f"--drag_mask={MASK}")
    return flags if drag.arrived else [*flags, f"--drag_steps={drag.steps}"]


def _moves(engine: Engine, state: ImageState) -> list[str]:
    """Returns the flags that shift and rotate the picture."""
    flags, (x, y) = [], state.shift
    if engine.moves and (x or y):
        flags.append(f"--translate={x:g},{y:g}")
    if engine.moves and state.angle:
        flags.append(f"--rotate={state.angle:g}")
    return flags
