"""Models on the Hugging Face Hub: `hf://user/name[/file][@revision]`, read and pushed.

Files go through the Hub's own cache, so that a model that was fetched once opens
without a network. Only data is fetched: no program of a repository is loaded or run.
"""

import contextlib
import functools
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stylegan_tf.errors import UserError

SCHEME = "hf://"
INSTALL = 'pip install "stylegan_tf[hub]"'
# Files that are models, the first kind that a repository has is taken.
SUFFIXES = (".keras", ".safetensors", ".pkl", ".pt", ".pth")
UNREACHED = "cannot be reached, and the cache lacks it."
SECONDS = 10  # for an answer of the Hub, before the cache is looked at
CARDS = ("model_card.json", "README.md")  # read beside a model, if they are there
_FORM = re.compile(
    r"hf://(?P<repo>[^/@]+/[^/@]+)(@(?P<early>[^/@]+))?(/(?P<file>[^@]*))?"
    r"(@(?P<revision>[^@]+))?"
)


@dataclass(frozen=True)
class HubAddress:
    """A place on the Hub.

    Attributes:
        repo: "user/name".
        file: file or folder in it; "" = all of it.
        revision: branch, tag or commit; None = the newest.
    """

    repo: str
    file: str = ""
    revision: str | None = None

    def __str__(self) -> str:
        tail = f"/{self.file}" if self.file else ""
        return f"{SCHEME}{self.repo}{tail}" + (
            f"@{self.revision}" if self.revision else ""
        )


def is_hub(path: object) -> bool:
    """Returns True for an address on the Hub."""
    return str(path).startswith(SCHEME)


def parse_address(url: str) -> HubAddress:
    """Reads an address.

    Raises:
        UserError: it is none.
    """
    found = _FORM.fullmatch(url)
    early, late = (found["early"], found["revision"]) if found else (None, None)
    if not found or (early and late):
        raise UserError(
            f"{url} is no address on the Hub; write hf://user/name, "
            f"hf://user/name/file.pkl, or either with @revision at its end."
        )
    return HubAddress(found["repo"], (found["file"] or "").strip("/"), early or late)


def fetch_model(url: str) -> Path:
    """Fetches a model, unless the cache has it.

    Args:
        url: of a file, or of a repository or folder that has one model.

    Returns:
        The file, in the Hub's cache; the model's card lies beside it. Within a process
        the same address gives the same file.

    Raises:
        UserError: there is no such model, no access or no network, or the library is
            missing.
    """
    return _fetch(parse_address(url), os.environ.get("HF_ENDPOINT"))


@functools.cache
def _fetch(address: HubAddress, endpoint: str | None) -> Path:
    hub = _library()
    with _told(address):
        names, there = _names(address, endpoint)
        name = address.file
        if PurePosixPath(name).suffix not in SUFFIXES:
            name = choose_model(address, names)
        elif name not in names:
            why = "has no such file." if there else UNREACHED
            raise UserError(f"{address} {why}")
        cards = {str(PurePosixPath(name).with_name(card)) for card in CARDS}
        for file in (*cards.intersection(names), name):
            path = hub.hf_hub_download(
                address.repo,
                file,
                revision=address.revision,
                endpoint=endpoint,
                local_files_only=not there,
            )
    return Path(path)


def _names(address: HubAddress, endpoint: str | None) -> tuple[list[str], bool]:
    """Names of a repository's files, and True if the Hub has told them.

    Without a network they are those of the files that the cache has.
    """
    hub = _library()
    place = {"repo_id": address.repo, "revision": address.revision}
    try:
        api = hub.HfApi(endpoint=endpoint)
        info = api.model_info(timeout=SECONDS, **place)
        return [file.rfilename for file in info.siblings or []], True
    except (hub.errors.HfHubHTTPError, ValueError):
        raise  # the Hub has answered, or the name cannot be one
    except Exception:
        kept = hub.snapshot_download(local_files_only=True, **place)
        files = (path for path in Path(kept).rglob("*") if path.is_file())
        return [path.relative_to(kept).as_posix() for path in files], False


def choose_model(address: HubAddress, names: Iterable[str]) -> str:
    """Returns the file of a repository, or of a folder in it, that is the model.

    Raises:
        UserError: there is none, or there are several of a kind.
    """
    folder = PurePosixPath(address.file)
    here = [name for name in names if PurePosixPath(name).parent == folder]
    for suffix in SUFFIXES:
        found = sorted(name for name in here if name.endswith(suffix))
        ours = [n for n in found if PurePosixPath(n).stem == "generator"]
        if len(found) > 1 and not ours:
            shown = ", ".join(found[:5]) + (" and others" if len(found) > 5 else "")
            raise UserError(f"{address} has several models: {shown}; name one.")
        if found:
            return (ours or found)[0]
    kinds = ", ".join(SUFFIXES)
    raise UserError(f"{address} has no model there, a file that ends in {kinds}.")


def check_push(url: str) -> HubAddress:
    """Reads the address of a repository to push to.

    Raises:
        UserError: it is none, it has a file in it, or the library is missing.
    """
    address = parse_address(url)
    if address.file:
        raise UserError(f"--push={url} names a file; give hf://user/name.")
    _library()
    return address


def push_folder(folder: Path | str, url: str, private: bool = False) -> str:
    """Uploads every file of a folder as one commit.

    Args:
        folder: of a model, with its README.md.
        url: hf://user/name, created if need be; @branch = to that branch.
        private: of a repository that is created.

    Returns:
        The address of the commit.

    Raises:
        UserError: the address has a file in it; no access, no network, or the library
            is missing.
    """
    address, hub = check_push(url), _library()
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    with _told(address):
        operations = [
            hub.CommitOperationAdd(path.relative_to(folder).as_posix(), str(path))
            for path in files
        ]
        api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        api.create_repo(address.repo, private=private or None, exist_ok=True)
        done = api.create_commit(
            address.repo,
            operations,
            commit_message=f"Upload {len(files)} files with stylegan_tf",
            revision=address.revision,
        )
    return str(done.commit_url)


# ---------------------------------------------------------------------------


def _library():
    """The library `huggingface_hub`."""
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise UserError(f"{SCHEME} addresses need a library: {INSTALL}") from error
    return huggingface_hub


@contextlib.contextmanager
def _told(address: HubAddress) -> Iterator[None]:
    """Turns errors of the library and the network into one line each."""
    errors = _library().errors
    reasons = {
        errors.GatedRepoError: "asks for consent: agree on its page, and log in with "
        "`hf auth login`.",
        errors.RepositoryNotFoundError: "is not there, or private: check the name, and "
        "log in with `hf auth login`.",
        errors.RevisionNotFoundError: "has no such revision.",
        errors.LocalEntryNotFoundError: UNREACHED,
        errors.EntryNotFoundError: "has no such file.",
        errors.LocalTokenNotFoundError: "needs a login: `hf auth login`.",
    }
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # the library lets its network client's errors pass
        for kind, reason in reasons.items():
            if isinstance(error, kind):
                raise UserError(f"{address} {reason}") from error
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise UserError(
                f"{address}: the Hub refuses; log in with `hf auth login`, with a "
                f"token that may do this."
            ) from error
        text = str(error).strip().splitlines()
        raise UserError(
            f"{address} failed: {text[0] if text else type(error).__name__}"
        ) from error
