"""A training run as the user asks for it: the command line, as one value."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class RunRequest:
    """The user's wishes for a training run.

    Attributes:
        preset: name in `presets.PRESETS`; None is "demo".
        changes: dotted setting -> value, on top of the preset; only what was given.
        resolution: "N" or "HEIGHTxWIDTH"; None is what the data and the preset say.
        crop: how images are fitted if they must be converted, see `data.convert`.
        out: folder of the runs.
        resume: "auto", "never" or a run directory.
        strategy: name for `devices.make_strategy`.
        cache: folder of converted data; None is the default.
        download: True lets TFDS download.
        command: the command line, for the record.
        flags: dotted setting -> the flag that sets it, for messages.
    """

    preset: str | None = None
    changes: dict[str, object] = field(default_factory=dict)
    resolution: str | None = None
    crop: str = "center"
    out: str = "runs"
    resume: str = "auto"
    strategy: str = "auto"
    cache: str | None = None
    download: bool = False
    command: list[str] = field(default_factory=list)
    flags: dict[str, str] = field(default_factory=dict)

    @property
    def names_a_run(self) -> bool:
        """True if `resume` is a run directory, which then must go on."""
        return self.resume not in ("auto", "never")
