"""The Hugging Face hub: models, image codecs, judges and data sets by their ids. Nothing else here asks it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

TIMEOUT = 10.0  # seconds that the hub has for its first answer


def is_hub_id(given: str) -> bool:
    """Whether ``given`` looks like ``owner/name``, and not like a path."""
    return given.count("/") == 1 and not given.startswith((".", "/", "~"))


def download(
    hub_id: str,
    files: Sequence[str] | None = None,
    revision: str | None = None,
    kind: Literal["model", "dataset"] = "model",
) -> Path:
    """The local folder of a repository's ``files`` (globs; None: all), fetched where the hub's cache lacks them.

    The hub is asked once before anything that is tried again and again, so a missing connection is known at once; then
    what the cache holds counts. Raises ``ValueError`` with the cause in one line.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, HTTPError

    wanted = None if files is None else list(files)

    def fetch(offline: bool) -> Path:
        found = snapshot_download(
            hub_id, repo_type=kind, revision=revision, allow_patterns=wanted, local_files_only=offline
        )
        return Path(found)

    try:
        HfApi().repo_info(hub_id, repo_type=kind, revision=revision, timeout=TIMEOUT)
        return fetch(offline=False)
    except (HTTPError, HFValidationError, OSError) as error:
        try:
            return fetch(offline=True)
        except (HFValidationError, OSError):
            reason = cause(error)
            raise ValueError(f"{hub_id} is no local folder, and the hub did not give it: {reason}") from error


def cause(error: Exception) -> str:
    """Why the hub gave nothing, in a line."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE forbids to ask it, and its cache does not hold the files"
    if isinstance(error, GatedRepoError):
        return "it is gated: ask for access on its page, then log in (hf auth login)"
    if isinstance(error, RepositoryNotFoundError):
        return "it has none of that name, or none for everybody"
    if isinstance(error, RevisionNotFoundError):
        return "it has no such revision"
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if isinstance(error, HTTPError) and not isinstance(error, HfHubHTTPError):
        return f"no connection to {constants.ENDPOINT} ({line})"
    return line
