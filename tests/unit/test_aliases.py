"""Which name is suggested for one that does not exist."""

from collections.abc import Sequence

import msgspec
import pytest

from kith.integrations.mapping import MAPPABLE
from kith.model.aliases import find_meant
from kith.model.companies import CompanyInput
from kith.model.contacts import ContactInput

CONTACT = [field.encode_name for field in msgspec.structs.fields(ContactInput)]
COMPANY = [field.encode_name for field in msgspec.structs.fields(CompanyInput)]
SORTS = ("createdAt", "lastActivityAt", "email", "name")
MAPPED = (*MAPPABLE["contact"], "properties.p_text", "properties.shoes", "properties.phone")


@pytest.mark.parametrize(
    ("known", "meant", "names"),
    [
        (
            CONTACT,
            "givenName",
            "firstName, first_name, first name, FIRSTNAME, given_name, given-name, givenname, givenNmae",
        ),
        (CONTACT, "familyName", "lastName, last_name, surname, Surname, family name, familyNam"),
        (CONTACT, "name", "full_name, fullName, nme, naem, Name"),
        (CONTACT, "phone", "mobile, telephone, phone_number, Phone, cell, fone, phnoe"),
        (CONTACT, "email", "e-mail, mail, emailAddress, emial"),
        (CONTACT, "lifecycleStage", "stage, lifecycle_stage, lifecycle, lifecylceStage"),
        (CONTACT, "properties", "customFields, custom_properties, property, propertis"),
        (CONTACT, None, "owner, middleName, nickname, company, organisation, title, tags, xyzzy, kind, , ="),
        (COMPANY, "name", "company, companyName, organization"),
        (COMPANY, "website", "url, websit"),
        (COMPANY, None, "owner, mail, email, country, city, type, rate"),
        (("l1", "10", "1100"), None, "0, 11, 110"),
        (SORTS, None, "lastName, firstName, surname, id, phone, stage"),
        (SORTS, "createdAt", "created_at, created, creatdAt"),
        (("sortBy", "sortOrder"), "sortBy", "order, sort, sortby"),
        (("sortOrder",), "sortOrder", "order, sort, direction"),
        (MAPPED, None, "properties.shoe_size, properties.p_number, properties.x, company.foo, company.size, tags, tag"),
        (MAPPED, "properties.shoes", "properties.shoe, properties.Shoes, propertes.shoes, shoes, shoe"),
        (MAPPED, "company.domain", "company.domian, compnay.domain, domain, company.host"),
        (MAPPED, "company.name", "company, organization, company.Name"),
        (MAPPED, "phone", "phone_number, fone"),
        (("mrr", "arr"), "mrr", "mmr, mrrr"),
        (("plan", "size"), None, "span, prize, pl, s"),
        (("accessToken", "webhookSecret"), "accessToken", "token, accesToken, access_token, apiKey"),
    ],
)
def test_a_name_is_suggested_by_its_common_names_and_then_by_spelling_or_not_at_all(
    known: Sequence[str], meant: str | None, names: str
) -> None:
    asked = names.split(", ")
    assert {name: find_meant(name, known) for name in asked} == dict.fromkeys(asked, meant)


def test_a_very_long_name_is_compared_with_nothing() -> None:
    assert find_meant("x" * 101, ["x" * 101]) is None


def test_a_name_that_differs_in_signs_only_comes_before_an_alias() -> None:
    assert find_meant("first-name", ["givenName", "first_name"]) == "first_name"
    assert find_meant("Mobile", ["phone", "mobile"]) == "mobile"
