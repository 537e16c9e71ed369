"""Keep the secrets of projects, and find out whether a stage's are there."""

from collections.abc import Sequence

from wherry.service.domain.errors import Precondition, SecretMissing, SecretUnknown
from wherry.service.domain.secrets import (
    SECRETS_PER_PROJECT_MAX,
    SecretRecord,
    check_secret_name,
    check_secret_value,
)
from wherry.service.ports.clock import Clock
from wherry.service.ports.secrets import SecretStore
from wherry.service.usecases.read_project import Project


class KeepSecrets:
    """Sets, lists and removes secrets. No answer has a value in it."""

    def __init__(self, *, store: SecretStore, clock: Clock) -> None:
        """Keep them in `store`."""
        self._store = store
        self._clock = clock

    async def put(self, project: str, name: str, value: bytes, *, user: str) -> None:
        """Set a secret, new or in place of the one that was called so before.

        Raises:
            InvalidInput: if it cannot be called so, or the value cannot be one.
            Precondition: if the project has as many as it can have.
        """
        check_secret_name(name)
        check_secret_value(value)
        known = {record.name for record in await self._store.list_records(project)}
        if name not in known and len(known) >= SECRETS_PER_PROJECT_MAX:
            raise Precondition(
                f"the project has {len(known)} secrets, and can have no more",
                hint="Remove some: `wherry secret rm NAME`.",
            )
        await self._store.put(project, name, value, user=user, now=self._clock.now())

    async def list_records(self, project: str) -> Sequence[SecretRecord]:
        """What there is, by name."""
        return await self._store.list_records(project)

    async def remove(self, project: str, name: str) -> None:
        """Remove a secret.

        Raises:
            SecretUnknown: if there is none of that name.
        """
        if not await self._store.remove(project, name):
            raise SecretUnknown(
                f"the project has no secret {name!r}", hint="`wherry secret ls` shows those it has."
            )


class CheckSecrets:
    """Sees that a project's secrets are there before anything runs."""

    def __init__(self, store: SecretStore) -> None:
        self._store = store

    async def __call__(self, project: Project) -> None:
        """Look for the secrets of all selected stages.

        Raises:
            SecretMissing: naming the first that is not there, and its stage.
        """
        wanted = {stage.name: project.settings[stage.name].secrets or () for stage in project.stages}
        if not any(wanted.values()):
            return
        name = project.submission.project
        known = {record.name for record in await self._store.list_records(name)}
        for stage in project.stages:
            for secret in wanted[stage.name]:
                if secret not in known:
                    raise SecretMissing(
                        f"stage {stage.name!r} wants the secret {secret!r}, which the project {name!r} does not have",
                        hint=f"Set it: `wherry secret set {secret}`.",
                        place=project.settings[stage.name].place(
                            "secrets", stage.settings_place or stage.place
                        ),
                    )
