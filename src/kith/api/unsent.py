"""Large answers that clients have not taken yet: a workspace whose clients read slowly is bounded in what they hold."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from kith.errors import Exposed

# An answer that is larger is sent in pieces of this size, each when the client has taken most of what was before.
PIECE_BYTES = 262_144
# So much of one workspace may wait to be taken before its next request is refused.
UNSENT_BYTES_MAX = 64 * 2**20


class Unsent:
    """Bytes of answers larger than a piece, by workspace, from when they were made until they are sent."""

    def __init__(self) -> None:
        self._bytes = Counter[int]()

    def check(self, workspace_id: int) -> None:
        """Raise RATE_LIMITED where the workspace's clients leave so much unread that no more is made for them."""
        waiting = self._bytes.get(workspace_id, 0)
        if waiting > UNSENT_BYTES_MAX:
            message = (
                f"Answers of {waiting // 2**20} MB to this workspace are not read yet."
                " Read them, or ask for fewer records at once, or for fewer fields with select."
            )
            raise Exposed("RATE_LIMITED", message, {"retryAfter": 1}, {"Retry-After": "1"})

    @contextmanager
    def hold(self, workspace_id: int, size: int) -> Iterator[None]:
        """Count an answer while it is sent."""
        self._bytes[workspace_id] += size
        try:
            yield
        finally:
            self._bytes[workspace_id] -= size
            if not self._bytes[workspace_id]:
                del self._bytes[workspace_id]
