"""Which tests run in one process, where several run side by side: those that share what takes long to make."""

from collections.abc import Mapping

from xdist.scheduler import LoadScopeScheduling

# Files whose tests share a server, a broker or a crowd; all others are dealt out one by one.
TOGETHER: Mapping[str, str] = {
    "tests/contract/test_kafka.py": "brokers",
    "tests/engine/test_on_kafka.py": "brokers",
    "tests/engine/test_without_postgres.py": "brokers",
    "tests/contract/test_log.py": "brokers",
    "tests/contract/test_migrate.py": "servers",
    "tests/contract/test_workspaces_and_keys.py": "servers",
    "tests/engine/test_plans.py": "crowd",
    "tests/engine/test_pages.py": "crowd",
    "tests/engine/test_noun_plans.py": "crowd of all nouns",
    "tests/engine/test_query_plans.py": "crowd with properties",
    "tests/engine/test_property_plans.py": "crowd of properties",
}


class Together(LoadScopeScheduling):
    """Deals out single tests, but a group of files as one."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER.get(nodeid.partition("::")[0], nodeid)
