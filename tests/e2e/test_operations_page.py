"""docs/operations.md: the commands that it has run, on an installation of their own, in their order."""

import sys
from pathlib import Path

from tests.serving import serving
from tests.steps import open_shell, read_steps, run_step

PAGE = Path(__file__).parent.parent.parent / "docs" / "operations.md"


def test_what_operators_are_told_to_type_works(tmp_path: Path) -> None:
    with serving(tmp_path), open_shell(tmp_path) as shell:
        run_step(shell, f"kith() {{ '{sys.executable}' -m kith \"$@\"; }}")
        said = {step.script.splitlines()[0]: run_step(shell, step.script) for step in read_steps(PAGE)}
    assert "create_distributed_table" in said["kith cluster distribute --show"]
    assert (tmp_path / "backups" / "2026-04-10" / "manifest.json").exists()
    assert (tmp_path / "new" / ".kith").is_dir()
    assert "kith_srv_" in said["kith workspaces create acme"]
