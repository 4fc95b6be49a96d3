"""Failures of another service, grouped by the necessary reaction."""

from datetime import datetime

from kith.errors import KithError


class Failure(KithError):
    """A request that did not do what it should.

    ``reference`` is what the provider's support asks for: HubSpot's correlationId, Mailchimp's instance.
    """

    def __init__(self, message: str, *, status: int | None = None, reference: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reference = reference


class Transient(Failure):
    """It may well work later: no connection, no answer in time, 408, 423, 477, 5xx. Whether it took effect is open."""


class Limited(Failure):
    """More was asked than is allowed (429): until ``until`` nothing works. It is nobody's fault and no attempt."""

    def __init__(self, message: str, until: datetime, *, status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.until = until


class Unauthorized(Failure):
    """The credentials are not taken (any more): nothing works until a person sees to it."""


class Permanent(Failure):
    """This request will never work as it is; of a batch, some of its records are at fault."""


class Conflict(Permanent):
    """A record with such a unique value is there already: ``existing_id``, where the provider says it."""

    def __init__(
        self, message: str, existing_id: str | None, *, status: int | None = None, reference: str | None = None
    ) -> None:
        super().__init__(message, status=status, reference=reference)
        self.existing_id = existing_id


class Missing(Permanent):
    """What the request is about is not there (404)."""
