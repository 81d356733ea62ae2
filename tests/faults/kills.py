"""Faults that end a process or stand in its way: kills, signals, full disks.

A strike hurts a process that trains, and returns in words what it did, or None if the
process had ended before. A series strikes at one run again and again, each time started
by the same command, and lets it end.
"""

import contextlib
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import processes
from lab import TICK, Case, Damage, Lab, Outcome
from processes import Process

_AT_WORK = " (starts|continues) at "  # a line of the log
_TRAINED = "^finished at "
_STARTING = 2.0  # seconds that a process takes to load and build, roughly
MOST_LOST = 2 * TICK  # images between two checkpoints

Strike = Callable[[Case, Process], str | None]


def series(case: Case, times: int, strike: Strike, rows: str = "all") -> list[Outcome]:
    """Strikes again and again; each start shows what the strike before has left.

    Args:
        case: the run.
        times: strikes; less if the run ends before.
        strike: the fault.
        rows: see `Case.check_ends`.
    """
    outcomes: list[Outcome] = []
    for _ in range(times):
        process = case.start()
        fault = strike(case, process)
        process.wait()
        case.check_output(process)
        _count_lost(case, process, outcomes)
        if fault is None:
            break
        outcomes.append(Outcome(fault))
        case.seen = max(case.seen, case.saved)
        case.reached = max(case.saved, case.row_images())
    process = case.start()
    case.check_ends(process, case.lab.undisturbed, rows)
    _count_lost(case, process, outcomes)
    return outcomes


def _count_lost(case: Case, process: Process, outcomes: list[Outcome]) -> None:
    """Images that a process makes again, after the last fault."""
    images = case.continues(process)
    if images is None or not outcomes:
        return
    lost = outcomes[-1].lost = max(0, case.reached - images)
    if lost > MOST_LOST:
        raise Damage(f"{lost} images are lost by {outcomes[-1].fault}")
    case.reached = images


# ---------------------------------------------------------------------------
# Strikes


def _kill(process: Process, number: int, seconds: float, after: str) -> str | None:
    process.until(lambda: False, seconds)
    if process.poll() is not None:
        return None
    process.send(number)
    return f"{signal.Signals(number).name} {seconds:.3f} s after {after}"


def _kill_at_event(process: Process, folder: Path, number: int) -> str | None:
    """Kills at the n-th thing that happens to a file below `folder`."""
    watch, count = processes.Watch(folder), 0
    try:
        while process.poll() is None:
            for path in watch.events(0.05):
                count += 1
                if count == number:
                    process.send(signal.SIGKILL)
                    file = path.relative_to(folder)
                    return f"SIGKILL at event {number}, {file}"
    finally:
        watch.close()
    return None


def at_any_time(case: Case, process: Process) -> str | None:
    """SIGKILL while the process loads, builds, trains or exports."""
    rng = case.rng
    if rng.random() < 0.15:
        seconds = rng.uniform(0, _STARTING)
        return _kill(process, signal.SIGKILL, seconds, "its start")
    process.said(_AT_WORK)
    seconds = rng.uniform(0, case.lab.training)
    return _kill(process, signal.SIGKILL, seconds, "training began")


def while_saving(case: Case, process: Process) -> str | None:
    """SIGKILL at a random step of what is written while training."""
    process.said(_AT_WORK)
    return _kill_at_event(process, case.run, case.rng.randint(1, 100))


def while_exporting(case: Case, process: Process) -> str | None:
    """SIGKILL while the model is written: at a step of it, or at a random time."""
    if not process.said(_TRAINED):
        return None
    if case.rng.random() < 0.5:
        return _kill_at_event(process, case.run, case.rng.randint(1, 45))
    seconds = case.rng.uniform(0, 0.8 * case.lab.exporting)
    return _kill(process, signal.SIGKILL, seconds, "the last step")


def by_signal(case: Case, process: Process) -> str | None:
    """A signal that asks to stop; sometimes KILL follows, as by Slurm or Kubernetes."""
    rng, number = case.rng, case.rng.choice(processes.SIGNALS)
    process.said(_AT_WORK)
    seconds = rng.uniform(0, case.lab.training)
    fault = _kill(process, number, seconds, "training began")
    if fault and rng.random() < 0.2:
        seconds = rng.uniform(0, 0.3)
        if _kill(process, signal.SIGKILL, seconds, ""):
            return f"{fault}, KILL {seconds:.3f} s later"
    code, name = process.wait(), signal.Signals(number).name
    if fault is None or process.said(_TRAINED):  # the last step was made
        return fault
    stopped = process.said(rf"stopped by {name} at ([\d.]+) kimg")
    if stopped:
        case.saved = round(float(stopped[1]) * 1000)
    elif code:
        raise Damage(f"{fault}: ends with {code}, and does not say that it stopped")
    if stopped and code != 128 + number:
        raise Damage(f"{fault}: ends with {code}")
    return fault


def by_notice(case: Case, process: Process) -> str | None:
    """TERM to all processes of the job, as Slurm and Kubernetes do; KILL after a grace.

    A grace of half a minute, their default, is enough to save everything.
    """
    rng, enough = case.rng, 30.0
    if rng.random() < 0.3:  # while it loads, or converts its data
        process.until(lambda: False, rng.uniform(0, _STARTING))
    else:
        process.said(_AT_WORK)
        process.until(lambda: False, rng.uniform(0, case.lab.training))
    grace = rng.choice([enough, enough, rng.uniform(0, 0.3)])
    if process.poll() is not None:
        return None
    process.send_to_all(signal.SIGTERM)
    if rng.random() < 0.3:  # a parent passes its own on
        process.send(signal.SIGTERM)
    process.wait(grace, hangs=False)
    if process.poll() is None:
        process.send_to_all(signal.SIGKILL)
        process.wait()
        if grace == enough:
            raise Damage("TERM to all: not at its end after half a minute")
        return f"TERM to all, KILL {grace:.3f} s later"
    stopped = process.said(r"stopped by SIGTERM at ([\d.]+) kimg")
    if stopped:
        case.saved = round(float(stopped[1]) * 1000)
    if process.poll() not in (0, 128 + signal.SIGTERM, -signal.SIGTERM):
        raise Damage(f"TERM to all: ends with {process.poll()}")
    return "TERM to all"


# ---------------------------------------------------------------------------
# Kinds


def kill_anywhere(lab: Lab, name: str, rng: Random, times: int) -> list[Outcome]:
    """SIGKILL at a random time."""
    return series(Case(lab, name, rng), times, at_any_time)


def kill_while_saving(lab: Lab, name: str, rng: Random, times: int) -> list[Outcome]:
    """SIGKILL at a random step of a save."""
    return series(Case(lab, name, rng), times, while_saving)


def kill_while_exporting(lab: Lab, name: str, rng: Random, times: int) -> list[Outcome]:
    """SIGKILL while the finished model is written, or written again."""
    template = lab.template(rng.choice(["trained", "short"]))
    return series(Case(lab, name, rng, template), times, while_exporting)


def stop_signal(lab: Lab, name: str, rng: Random, times: int) -> list[Outcome]:
    """TERM, INT, HUP or QUIT at a random time, some with KILL behind."""
    return series(Case(lab, name, rng), times, by_signal, rows="whole")


def preempted(lab: Lab, name: str, rng: Random, times: int) -> list[Outcome]:
    """A notice of Slurm or Kubernetes: TERM to all processes, KILL after a grace."""
    case = Case(lab, name, rng, data="demo:24")
    case.cache = case.folder / "cache"
    return series(case, times, by_notice, rows="whole")


def anything(lab: Lab, name: str, rng: Random, times: int) -> list[Outcome]:
    """Kills and signals in turn, on one run."""
    strikes = [while_saving, by_signal, at_any_time, while_exporting, by_notice]
    rng.shuffle(strikes)
    turn = iter(strikes * times)

    def strike(case: Case, process: Process) -> str | None:
        chosen = next(turn)
        return (at_any_time if chosen is while_exporting else chosen)(case, process)

    return series(Case(lab, name, rng), times, strike, rows="whole")


def hangup_under_nohup(lab: Lab, name: str, rng: Random, times: int) -> list[Outcome]:
    """HUP to a run under `nohup`, which must go on."""
    case = Case(lab, name, rng, lab.template("half"))
    process, count = case.start(ignored=[signal.SIGHUP]), 0
    process.said(_AT_WORK)
    while count < times and process.poll() is None:
        process.until(lambda: False, rng.uniform(0, 0.1))
        process.send(signal.SIGHUP)
        count += 1
    case.check_ends(process, lab.undisturbed)
    return [Outcome("HUP under nohup")] * count


def second_process(lab: Lab, name: str, rng: Random, times: int) -> list[Outcome]:
    """The same command again while it runs, which is refused."""
    case, outcomes = Case(lab, name, rng), []
    process = case.start()
    while len(outcomes) < times:
        process.said(_AT_WORK)
        process.send(signal.SIGSTOP)  # else it ends before the second has started
        if process.poll() is not None:
            break
        _try_second(case, process)
        outcomes.append(Outcome("a second process"))
        if rng.random() < 0.4:  # the next process must not find the lock held
            process.send(signal.SIGKILL)
            process.wait()
            process = case.start()
        process.send(signal.SIGCONT)
        process.until(lambda: False, rng.uniform(0, lab.training / 4))
    case.check_ends(process, lab.undisturbed)
    return outcomes


def _try_second(case: Case, first: Process) -> None:
    before = case.tree()
    second = case.start(*case.rng.choice([[], [f"--resume={case.run}"]]))
    second.wait()
    case.check_refused(second)
    if str(first.pid) not in second.text:
        raise Damage("the process that holds the run is not named")
    if case.tree() != before:
        raise Damage("the second process has changed the run")


def full_disk(lab: Lab, name: str, rng: Random, times: int) -> list[Outcome]:
    """A full disk at a random time, and room again after a while."""
    case, outcomes, process = Case(lab, name, rng), [], None
    with _small_disk(case) as fill_up:
        while len(outcomes) < times:
            free = None
            if process is None:
                if rng.random() < 0.1:
                    free = fill_up()
                process = case.start()
                process.said(_AT_WORK)
            if free is None:
                process.until(lambda: False, rng.uniform(0, lab.training))
                if process.poll() is not None:
                    break
                free = fill_up(process)
            seconds = rng.uniform(0.05, 1.5)
            process.until(lambda: False, seconds)
            free()
            outcomes.append(Outcome(f"a disk full for {seconds:.2f} s"))
            if process.poll():
                case.check_refused(process)
                _count_lost(case, process, outcomes)
                process = None
        if process and process.wait():
            case.check_refused(process)
            process = None
        case.check_ends(process or case.start(), lab.undisturbed)
    return outcomes


@contextlib.contextmanager
def _small_disk(case: Case) -> Iterator[Callable]:
    """Puts a case on a disk of its own; yields what fills it, and returns what frees.

    Where no disk can be mounted, the files of the process get a limit to their size.
    """
    if not case.lab.disks:
        yield lambda process=None: _limit_files(process, case.rng)
        return
    disk = case.folder / "disk"
    with processes.small_disk(disk, kilobytes=8192):
        case.out = disk / case.out.name

        def fill_up(process: Process | None = None) -> Callable[[], None]:
            file = processes.fill(disk, case.rng.choice([0, 0, 4096, 40_000]))
            return lambda: file.unlink(missing_ok=True)

        yield fill_up


def _limit_files(process: Process | None, rng: Random) -> Callable[[], None]:
    def limit(size: int) -> None:
        if process is not None and process.poll() is None:
            limits = (size, resource.RLIM_INFINITY)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limits)

    limit(rng.randint(8000, 40_000))
    return lambda: limit(resource.RLIM_INFINITY)


def kill_while_converting(
    lab: Lab, name: str, rng: Random, times: int
) -> list[Outcome]:
    """SIGKILL while a new data set is converted into the cache."""
    case, count = Case(lab, name, rng, data="demo:24"), 0
    case.cache = case.folder / "cache"
    case.cache.mkdir()
    for _ in range(times):
        process = case.start()
        if not _kill_at_event(process, case.cache, rng.randint(1, 60)):
            break
        process.wait()
        case.check_output(process)
        count += 1
    process.send(signal.SIGKILL)
    process = case.start()
    process.until(lambda: case.row_images() >= 2 * TICK)
    process.send(signal.SIGKILL)
    process.wait()
    case.check_output(process)
    case.check_begins(lab.undisturbed)
    left = {p.name for p in case.cache.iterdir() if not p.name.startswith("demo-")}
    if left - {"lock"}:
        raise Damage(f"left over in the cache: {', '.join(left)}")
    return [Outcome("SIGKILL while converting")] * count
