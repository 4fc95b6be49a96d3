"""Which name is suggested for one that does not exist."""

import msgspec
import pytest

from kith.model.aliases import find_meant
from kith.model.companies import CompanyInput
from kith.model.contacts import ContactInput

CONTACT = [field.encode_name for field in msgspec.structs.fields(ContactInput)]
COMPANY = [field.encode_name for field in msgspec.structs.fields(CompanyInput)]


@pytest.mark.parametrize(
    ("meant", "names"),
    [
        ("givenName", ["firstName", "first_name", "first name", "FIRSTNAME", "given_name", "given-name", "givenname"]),
        ("familyName", ["lastName", "last_name", "surname", "Surname", "family name", "familyNam"]),
        ("name", ["full_name", "fullName", "nme"]),
        ("phone", ["mobile", "telephone", "phone_number", "Phone", "cell"]),
        ("email", ["e-mail", "emailAddress", "emial"]),
        ("lifecycleStage", ["stage", "lifecycle_stage", "lifecycle"]),
        ("properties", ["customFields", "custom_properties"]),
        (None, ["organisation", "xyzzy", "", "=", "x" * 1000]),
    ],
)
def test_a_contacts_field_is_suggested_by_its_common_names_and_then_by_spelling(
    meant: str | None, names: list[str]
) -> None:
    assert {name: find_meant(name, CONTACT) for name in names} == dict.fromkeys(names, meant)


def test_a_company_has_names_of_its_own() -> None:
    assert [find_meant(name, COMPANY) for name in ("companyName", "organization", "url", "employees", "revenue")] == [
        *("name", "name", "website", "size", "spend")
    ]


def test_a_name_that_differs_in_signs_only_comes_before_an_alias() -> None:
    assert find_meant("first-name", ["givenName", "first_name"]) == "first_name"
    assert find_meant("Mobile", ["phone", "mobile"]) == "mobile"
