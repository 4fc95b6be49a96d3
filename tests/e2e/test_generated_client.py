"""A client that openapi-python-client makes from the document does the tour of the README, with typed answers."""

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.serving import Served

Call = Callable[..., Any]

PACKAGE = "kith_client"
# The code is run, not read: formatting it would take longer than making it.
CONFIG = "post_hooks: []\n"


@pytest.fixture
def generated(tmp_path: Path, serve: Served, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package, made without a warning."""
    config = tmp_path / "config.yml"
    config.write_text(CONFIG)
    options = ["--url", f"{serve.url}/openapi.json", "--meta", "none", "--output-path", str(tmp_path / PACKAGE)]
    ran = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", *options, "--fail-on-warning", "--config", config],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, "WARNING" in ran.stdout + ran.stderr) == (0, False), ran.stdout + ran.stderr
    monkeypatch.syspath_prepend(str(tmp_path))
    return importlib.import_module(PACKAGE)


@pytest.fixture
def call(generated: ModuleType, serve: Served) -> Iterator[Call]:
    """Calls an endpoint by its tag and name; what it answers, after a look at the status."""
    client = generated.AuthenticatedClient(base_url=serve.url, token=serve.key, raise_on_unexpected_status=True)

    def answer_of(tag: str, name: str, /, *arguments: Any, status: int = 200, **named: Any) -> Any:
        endpoint = importlib.import_module(f"{PACKAGE}.api.{tag}.{name}")
        answer = endpoint.sync_detailed(*arguments, client=client, **named)
        assert answer.status_code == status, answer.content
        return answer.parsed

    with client:
        yield answer_of


@pytest.mark.slow
def test_a_generated_client_does_the_tour(call: Call) -> None:
    models = importlib.import_module(f"{PACKAGE}.models")

    def make(name: str, body: Any, tag: str) -> Any:
        made = call(tag, name, body=body, prefer="wait=10", status=201)
        assert made.operation.status is models.OperationMarkStatus.APPLIED
        return made.data

    person = models.ContactInput.from_dict({"email": "ada@example.com", "name": "Ada Lovelace"})
    person.properties = models.ContactInputPropertiesType0.from_dict({"plan": "Pro"})
    ada = make("create_contact", person, "contacts")
    assert isinstance(ada, models.Contact)
    assert (ada.id, ada.status, ada.properties["plan"]) == (1, models.ContactStatus.ACTIVE, "Pro")
    for ref in ("1", ada.external_id, "ada@example.com"):
        assert call("contacts", "get_contact", ref).data == ada

    company = make(
        "create_company", models.CompanyInput(name="Analytical Engines", domain="engines.example"), "companies"
    )
    assert isinstance(company, models.Company)
    link = models.AssociationInput(company_id=company.id, role="Author", is_primary=True)
    with_company = call("contacts", "associate_company", "1", body=link, prefer="wait=10", status=201).data
    assert [(one.name, one.role) for one in with_company.companies] == [("Analytical Engines", "Author")]

    tag = make("create_tag", models.TagInput(key="pioneer"), "tags")
    assign = models.AssignInput(tag_id=tag.external_id)
    assert [
        one.key for one in call("contacts", "assign_contact_tag", "1", body=assign, prefer="wait=10").data.tags
    ] == ["pioneer"]

    page = call("contacts", "list_contacts", sort_by=models.ListContactsSortBy.EMAIL)
    assert (page.meta.total, [type(row) for row in page.data]) == (1, [models.ContactRow])
    assert [row.email for row in call("contacts", "search_contacts", q="ada love").data] == ["ada@example.com"]
    query = models.QueryInput(entity=models.QueryInputEntityType0.CONTACT, where="tags has any (pioneer)")
    found = call("queries", "run_query", body=query)
    assert [row.name for row in found.data] == ["Ada Lovelace"]

    patch = models.ContactPatch(lifecycle_stage=models.ContactPatchLifecycleStageType0.CUSTOMER)
    changed = call("contacts", "update_contact", "ada@example.com", body=patch, prefer="wait=10", if_match="*").data
    assert changed.lifecycle_stage is models.ContactLifecycleStage.CUSTOMER
    pending = call("contacts", "create_contact", body=models.ContactInput(name="Charles Babbage"), status=202)
    assert pending.data.id is None
    operation = call("operations", "get_operation", pending.operation.id, x_read_after=pending.operation.position).data
    assert operation.status is models.OperationStatus.APPLIED
    refused = call("contacts", "create_contact", body=models.ContactInput(email="Ada@Example.com"), status=409)
    assert isinstance(refused, models.ErrorAnswer)
    assert (refused.success, refused.error.code) == (False, "CONTACT_EMAIL_EXISTS")
