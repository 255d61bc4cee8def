"""A finished export put on the Hugging Face hub, where a token is in the environment."""

from __future__ import annotations

import os

from actors.storage import local_path
from jobs.rounds.workspace import InputError
from schemas import manifest
from schemas.places import Place

TOKEN = "HF_TOKEN"


def check_push(directory: Place) -> str:
    """The token with which to push.

    Raises:
        InputError: there is none, or the export is not on this machine.
    """
    token = os.environ.get(TOKEN)
    if not token:
        raise InputError(f"--push-to-hub: {TOKEN} is not in the environment")
    if local_path(directory) is None:
        raise InputError(f"--push-to-hub: {directory}: is not on this machine; give a local --out")
    return token


def push(directory: Place, repository: str, token: str) -> None:
    """Put a finished export on the hub, as a private data set where there is none yet.

    Raises:
        InputError: the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    hub = HfApi(token=token)
    try:
        hub.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
        hub.upload_folder(
            repo_id=repository,
            repo_type="dataset",
            folder_path=str(local_path(directory)),
            ignore_patterns=[".*", "**/.*", manifest.FILE],
            commit_message=f"{directory.name}, by the preference factory",
        )
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        raise InputError(f"--push-to-hub {repository}: {error}") from None
    print(f"{directory}: pushed to {repository}", flush=True)
