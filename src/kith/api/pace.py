"""The pace of webhooks: deliveries, which need no key, leave the event loop to requests that have one."""

import asyncio

from kith.errors import Exposed

BYTES_PER_S = 8 * 1024 * 1024
# A body up to this size is read at once: HubSpot and Mailchimp send no larger ones.
FREE_BYTES = 65_536
# What a refusal counts for beside its body: looking the integration up, and the comparison of signatures.
REFUSAL_BYTES = 65_536
WAIT_S_MAX = 2.0


class Pace:
    """Lets so many bytes a second through, in the order of arrival, whoever sends them."""

    def __init__(self) -> None:
        self._free_at_s = 0.0

    async def take(self, size: int) -> None:
        """Return when the turn comes. Raises SERVICE_UNAVAILABLE where too much is ahead."""
        now_s = asyncio.get_running_loop().time()
        turn_s = max(now_s, self._free_at_s)
        if turn_s - now_s > WAIT_S_MAX:
            raise Exposed(
                "SERVICE_UNAVAILABLE",
                "Too many deliveries to webhooks arrive at once. Send it again in two seconds.",
                {"retryAfter": 2},
                {"Retry-After": "2", "Connection": "close"},
            )
        self._free_at_s = turn_s + size / BYTES_PER_S
        if turn_s > now_s:
            await asyncio.sleep(turn_s - now_s)
