"""Where a model's files lie: in a folder, in the hub's cache, or on the Hugging Face hub, from which they are fetched.

Of a repository only safetensors, configuration and tokenizer files are fetched. Pickles and code are not.

Knows folders, hub ids and the cache. Knows nothing of how a model is built from its files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from trued.errors import InputError
from trued.fetch.network import hub_offline
from trued.fetch.weights import weight_files

PATIENCE = 10.0
"""Seconds to wait for the hub's first answer. It is asked once."""

SMALL_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken")
WEIGHT_FILES = ("model.safetensors", "model-*-of-*.safetensors", "adapter_model.safetensors")
PICKLES = ("pytorch_model*.bin", "adapter_model.bin", "*.pt", "*.pth", "*.ckpt")

_FILE_ENDINGS = frozenset(
    (
        ".bin", ".ckpt", ".csv", ".gguf", ".jinja", ".json", ".jsonl", ".md", ".npz", ".onnx", ".parquet", ".pickle",
        ".pkl", ".pt", ".pth", ".py", ".safetensors", ".tar", ".toml", ".txt", ".yaml", ".yml", ".zip",
    )
)  # fmt: skip
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9_][\w.-]*)?")


@dataclass(frozen=True)
class Files:
    """The folder in which a model's files lie.

    Args:
        folder: where they are.
        repo: the hub id that they come from; None for a folder that the user named.
        revision: the commit on the hub; None for a folder.
        closed: why missing files were not requested from the hub; "" where they were, or where there is no hub id.
    """

    folder: Path
    repo: str | None = None
    revision: str | None = None
    closed: str = ""

    @property
    def name(self) -> str:
        """The hub id, or the folder."""
        return self.repo or str(self.folder)

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def require(self, *names: str) -> None:
        """Check that files are there.

        Raises:
            InputError: one is missing; the sentence names it, the model, and why it was not fetched.
        """
        for name in names:
            if self.has(name):
                continue
            if (adapters := adapter_folders(self.folder)) and not self.closed:
                raise InputError(
                    f"{self.name} has no {name}, and adapters in its folders {', '.join(adapters)}: give one of those "
                    "folders"
                )
            raise InputError(self._without(name))

    def require_weights(self) -> None:
        """Check that the model's weights are there as safetensors, all shards of them.

        Raises:
            InputError: see `require`; or the weights are pickled.
        """
        missing = missing_weights(self.folder)
        if missing is not None:
            raise InputError(self._without(missing))
        if any(self.folder.glob("shard-*-model-*-of-*.safetensors")):
            raise InputError(
                f"{self.name} holds a distributed checkpoint beside its model.safetensors: keep each in a folder of "
                "its own"
            )

    def _without(self, name: str) -> str:
        if self.closed:
            return (
                f"{self.repo}: {name} is missing in the hub's cache ({self.folder}) and {self.closed}: "
                "load it once where the hub can be reached, or give the folder of a model"
            )
        pickled = name.endswith(".safetensors") and any(
            fnmatch(path.name, kind) for path in self.folder.iterdir() for kind in PICKLES
        )
        remedy = (
            "pickle checkpoints are not supported: save it as safetensors"
            if pickled
            else "give a folder or a hub id that holds a whole model, saved as safetensors"
        )
        return f"{self.name} has no {name}: {remedy}"


def find_files(
    source: str | Path, *, revision: str | None = None, weights: bool = True, patience: float = PATIENCE
) -> Files:
    """Return where the files of a model lie; those of a hub id are fetched if they are not in the hub's cache.

    Args:
        source: a folder, or a hub id such as "org/name"; "org/name@revision" names a revision of it.
        revision: a branch, tag or commit on the hub.
        weights: whether the weights are wanted, or only configuration and tokenizer.
        patience: seconds to wait for the hub's first answer. If it does not come, the cache has to do.

    Raises:
        InputError: no such folder or hub id, or the hub does not answer and its cache holds nothing of the model.
    """
    if is_path(source):
        return Files(_folder(source, revision))
    repo, _, named = str(source).partition("@")
    if named and revision and named != revision:
        raise InputError(f"{source} names the revision {named}, and {revision} is given beside it: give one")
    if "://" in named:
        raise InputError(f"{source} is an endpoint: give the folder of a model or a hub id here")
    if not _HUB_ID.fullmatch(repo):
        raise InputError(
            f"{source!r} is neither a folder nor a hub id: give a model's folder, or an id such as org/name"
        )
    revision = named or revision
    closed = hub_offline()
    if closed is None:
        fetched = _fetch(repo, revision, weights, patience)
        if isinstance(fetched, Files):
            return fetched
        closed = fetched
    else:
        closed = f"{closed} keeps it from being fetched"
    return _cached(repo, revision, closed)


def is_path(source: str | Path) -> bool:
    """Whether a source is meant as a path, so that it is never requested from the hub.

    A path is what exists, begins with a dot, a slash or a tilde, has the ending of a file, or more parts than a hub id.
    """
    if isinstance(source, Path):
        return True
    if not source or "://" in source:
        return False
    return (
        source.startswith((".", "/", "~", "\\"))
        or source.endswith("/")
        or "\\" in source
        or source.count("/") > 1
        or Path(source).suffix.lower() in _FILE_ENDINGS
        or Path(source).exists()
    )


def missing_weights(folder: Path) -> str | None:
    """Return the first weight file that a model's folder lacks, or None if it is whole.

    Raises:
        InputError: see `weight_files`.
    """
    files = weight_files(folder)
    return "model.safetensors" if not files else next((path.name for path in files if not path.is_file()), None)


def adapter_folders(folder: Path) -> list[str]:
    """Return the names of the subfolders that hold an adapter each."""
    return sorted(path.parent.name for path in folder.glob("*/adapter_config.json"))


def _folder(source: str | Path, revision: str | None) -> Path:
    folder = Path(source).expanduser()
    if revision is not None:
        raise InputError(f"{source} is a folder and has no revision {revision}: give a hub id, or no revision")
    if not folder.exists():
        kind = "file" if folder.suffix.lower() in _FILE_ENDINGS else "folder"
        raise InputError(f"{source}: no such {kind}; give the folder of a model, or a hub id such as org/name")
    if not folder.is_dir():
        raise InputError(f"{source} is a file: give the folder of a model, a hub id, or nothing for the default model")
    return folder


def _fetch(repo: str, revision: str | None, weights: bool, patience: float) -> Files | str:
    """Return the files, fetched where the cache lacks them, or why the hub cannot be asked, as a clause."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        listed = HfApi().model_info(repo, revision=revision, timeout=patience)
        kinds = SMALL_FILES + (WEIGHT_FILES if weights else ())
        names = [entry.rfilename for entry in listed.siblings or []]
        adapters = sorted({name.partition("/")[0] for name in names if name.endswith("/adapter_config.json")})
        if adapters and not {"config.json", "adapter_config.json", "tokenizer_config.json"} & set(names):
            raise InputError(
                f"{repo} holds adapters in its folders {', '.join(adapters)} and nothing beside them: download the "
                "repository and give one of those folders"
            )
        names = [name for name in names if "/" not in name and any(fnmatch(name, kind) for kind in kinds)]
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=names or ["config.json"]))
    except InputError:
        raise
    except GatedRepoError as error:
        raise InputError(
            f"{repo} is gated: accept its terms at https://huggingface.co/{repo}, and set HF_TOKEN to a token of yours"
        ) from error
    except RevisionNotFoundError as error:
        raise InputError(f"{repo} has no revision {revision}: give a branch, tag or commit that it has") from error
    except RepositoryNotFoundError as error:
        raise InputError(
            f"the hub has no model {repo}, or it is private: check the spelling, or set HF_TOKEN to a token that may "
            "read it"
        ) from error
    except Exception as error:  # the hub's client, its HTTP library and the network each have their own kinds
        return f"the hub does not answer ({reason_of(error)})"
    return Files(folder, repo, folder.name)


def _cached(repo: str, revision: str | None, closed: str) -> Files:
    """Return what the hub's cache holds of a repository, whole or not."""
    from huggingface_hub import constants, try_to_load_from_cache

    for name in ("config.json", "adapter_config.json", "tokenizer_config.json"):
        path = try_to_load_from_cache(repo, name, revision=revision, cache_dir=constants.HF_HUB_CACHE)
        if isinstance(path, str):
            return Files(Path(path).parent, repo, Path(path).parent.name, closed)
    at = f" at revision {revision}" if revision else ""
    raise InputError(
        f"{repo}: config.json{at} is missing in the hub's cache ({constants.HF_HUB_CACHE}) and {closed}: "
        "load it once where the hub can be reached, or give the folder of a model"
    )


def reason_of(error: BaseException) -> str:
    """Return the first line of an error, or its kind where it says nothing."""
    lines: list[Any] = str(error).strip().splitlines()
    if len(lines) > 1 and str(lines[0]).endswith(":"):  # a title: the reason stands below it
        return f"{lines[0]} {str(lines[1]).strip()}".rstrip(".")
    return str(lines[0]).rstrip(".") if lines else type(error).__name__
