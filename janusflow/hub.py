"""The Hugging Face hub: models, image codecs, judges and data sets by their ids, models to it. Nothing else asks it."""

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


def upload(
    folder: Path,
    repo_id: str,
    message: str,
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
) -> str:
    """Put a folder's files into the model repository ``repo_id``, which is made if it is not there.

    Returns the last commit's address, or the proposal's. Raises ``ValueError`` with the cause in one line.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    api = HfApi(token=token)
    try:
        whole = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        done = api.upload_folder(
            repo_id=whole, folder_path=folder, commit_message=message, revision=revision, create_pr=create_pr
        )
    except (HTTPError, ValueError, OSError) as error:  # the second: an impossible name, a card that it does not take
        refused = isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403)
        reason = "log in with a token that may write there (hf auth login)" if refused else cause(error)
        raise ValueError(f"the hub did not take {repo_id}: {reason}") from error
    return done.pr_url or done.commit_url


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
