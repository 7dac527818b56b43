"""Upload a folder to the Hugging Face hub; what can go wrong there is one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rpmask.deploy.manifest import CARD
from rpmask.deploy.model_card import name_repository
from rpmask.errors import RpmaskError, RunFailed
from rpmask.tasks.hub import is_offline, unreachable

LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN to a token that may write."


def check_repository(repository: str) -> None:
    """Refuse a name, a token or a hub that an upload would fail on, before any work is done."""
    from huggingface_hub import HfApi, constants, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
        named = repository.count("/") == 1
    except HFValidationError:
        named = False
    if not named:
        raise RpmaskError(
            f"'{repository}' is not the name of a repository on the hub.",
            "Give --repo ORG/NAME, of letters, digits, '-', '_' and '.'.",
        )
    if get_token() is None:
        raise RpmaskError("An upload to the hub needs a token, and there is none.", LOG_IN)
    problem = unreachable(constants.ENDPOINT, offline=is_offline())
    if problem:
        raise RunFailed(
            f"The hub cannot be reached: {problem}.",
            "Leave --repo out to write the folder alone, and give it once there is a network.",
        )
    with _errors(repository):
        HfApi().whoami()


def upload(folder: Path, repository: str, *, private: bool) -> str:
    """Make the repository if there is none, upload the folder, and return the address of its page."""
    from huggingface_hub import HfApi

    name_repository(folder, repository)
    api = HfApi()
    with _errors(repository):
        page = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            folder_path=folder,
            repo_id=repository,
            commit_message=f"Upload with rpmask export ({CARD}, weights, tokenizer, mask)",
        )
    return str(page)


@contextmanager
def _errors(repository: str) -> Iterator[None]:
    """Turn the hub's refusals into errors that say what to do."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        known = {
            401: ("The hub does not accept the token.", LOG_IN),
            403: (
                f"The token may not write to '{repository}'.",
                "Use a token with write access, and an organisation that you are a member of.",
            ),
            404: (
                f"The hub has no '{repository}', or the token may not see it.",
                "Correct --repo, or use a token with access to that organisation.",
            ),
        }
        if status in known:
            raise RpmaskError(*known[status]) from error
        raise RunFailed(
            f"The hub answered {status}: {' '.join(str(error).split())[:200]}.",
            "The folder is written; give the same command again.",
        ) from error
    except ValueError as error:  # the client has the card checked first
        reason = " ".join(str(error).split())[:200]
        raise RpmaskError(f"The hub refuses the folder: {reason}.", f"Correct {CARD}.") from error
    except HTTPError as error:
        raise RunFailed(
            f"The connection to the hub failed: {error or type(error).__name__}.",
            "The folder is written; give the same command again.",
        ) from error
