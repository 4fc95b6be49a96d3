"""``kith backup`` beside a running server and ``kith restore`` into a new data folder."""

import json
from pathlib import Path

import httpx2
import pytest

from tests.serving import Served, run_kith, serving

MANIFEST = '{"kith": "0.1", "schema": 1, "postgresql": "18", "made_at": "", "log": null, "positions": []}'


def test_a_served_kith_is_backed_up_and_served_again_from_a_new_data_folder(serve: Served, tmp_path: Path) -> None:
    with serve.open_client() as client:
        made = client.post("/crm/contacts", json={"email": "ada@example.com"}, headers={"Prefer": "wait=10"})
        assert made.status_code == 201
    folder = str(tmp_path / "backup")
    backup = run_kith("backup", folder, "--json", "--data", str(serve.data))
    assert backup.returncode == 0, backup.stderr
    assert sum(one["applied"] for one in json.loads(backup.stdout)["positions"]) == 1
    again = run_kith("backup", folder, "--data", str(serve.data))
    assert (again.returncode, "is there already" in again.stderr) == (1, True)
    assert "is not empty" in run_kith("restore", folder, "--data", str(serve.data)).stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    restored = run_kith("restore", folder, "--data", str(elsewhere / ".kith"))
    assert restored.returncode == 0, restored.stderr
    assert "1 commands applied" in restored.stdout
    (elsewhere / ".kith" / "admin.key").write_text(serve.key)
    with serving(elsewhere) as served, served.open_client() as client:
        read: httpx2.Response = client.get("/crm/contacts/ada@example.com")
        assert read.json()["data"] == made.json()["data"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "it has no manifest.json. Name a folder of `kith backup`."),
        ({"manifest.json": '{"kith": "0.1'}, "its manifest.json is damaged."),
        ({"manifest.json": "{}"}, "its manifest.json is damaged."),
        ({"manifest.json": MANIFEST}, "it has no database.dump."),
    ],
)
def test_what_is_no_backup_is_refused_and_leaves_no_data_folder(
    tmp_path: Path, files: dict[str, str], reason: str
) -> None:
    folder = tmp_path / "backup"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    refused = run_kith("restore", str(folder), "--data", str(tmp_path / ".kith"))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"{folder} holds no whole backup: {reason}" in refused.stderr
    assert not (tmp_path / ".kith").exists()
