"""States to command lines that draw the same pictures, to the bit."""

import shlex
from dataclasses import dataclass

from stylegan_tf.explorer.engine import Engine
from stylegan_tf.explorer.state import State


@dataclass(frozen=True)
class Command:
    """How a picture is drawn outside the page.

    Attributes:
        words: for a shell, in the folder that the page was started in.
        why: what no flag says about the state, so that it needs the file
            `latents`; empty where flags are enough.
        latents: name of that file, or None.
    """

    words: tuple[str, ...]
    why: str = ""
    latents: str | None = None

    @property
    def line(self) -> str:
        """In one line, quoted where a shell needs it."""
        return shlex.join(self.words)


def command(engine: Engine, state: State) -> Command:
    """The command line of a state."""
    why = _beyond_flags(engine, state)
    if not why:
        return Command(_words(engine, *_flags(engine, state)))
    file = f"seed{state.seed:04d}.npz"
    return Command(_words(engine, f"--latents={file}"), why, file)


def file_name(state: State) -> str:
    """What a picture is called where it is saved; the name that `generate` gives."""
    return f"seed{state.seed:04d}.png"


def _words(engine: Engine, *flags: str) -> tuple[str, ...]:
    return ("python", "launch/generate.py", f"--model={engine.path}", *flags)


def _beyond_flags(engine: Engine, state: State) -> str:
    """What flags cannot say, as a clause; empty if there is nothing."""
    partly = state.noise != "none" and state.muted & set(engine.resolutions)
    reasons = []
    if any(right or down for _, right, down in state.walk):
        reasons.append("it was dragged through a random plane")
    if partly and not _silent(engine, state):
        reasons.append("only some resolutions have noise")
    return " and ".join(reasons)


def _silent(engine: Engine, state: State) -> bool:
    """Whether no layer has noise."""
    return state.noise == "none" or set(engine.resolutions) <= state.muted


def _flags(engine: Engine, state: State) -> list[str]:
    flags = [f"--seeds={state.seed}", f"--psi={state.psi:g}"]
    if state.cutoff is not None:
        flags.append(f"--cutoff={state.cutoff}")
    if engine.resolutions and (_silent(engine, state) or state.noise != "const"):
        flags.append(f"--noise={'none' if _silent(engine, state) else state.noise}")
    if state.label is not None:
        flags.append(f"--classes={state.label}")
    for group, seed in zip(engine.groups, state.mixes, strict=False):
        if seed is not None:
            flags.append(f"--mix={seed}@{group.text}")
    group = engine.edit_group(state)
    reach = f"@{group.text}" if group else ""
    flags += [f"--edit={name}:{a:g}{reach}" for name, a in state.edits.items()]
    if engine.choice.own & set(state.edits):
        flags.append(f"--directions={engine.choice.file}")
    return flags
