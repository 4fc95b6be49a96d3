"""Other common names of fields and parameters, for suggestions."""

import difflib
from collections.abc import Iterable

NAME_CHARACTERS_MAX = 100
# By name without case, spaces and signs: the first of these that is known is suggested. One "of" another name is meant
# only where that is known too: the name of a company is beside a domain.
_ALIASES: dict[str, tuple[str, ...]] = {
    alias: meant
    for aliases, meant in (
        ("firstname forename fname given christianname", ("givenName",)),
        ("lastname surname lname family secondname", ("familyName",)),
        ("fullname displayname contactname personname", ("name",)),
        ("companyname accountname organisationname organizationname", ("company.name", "name of domain")),
        (
            "organisation organization org account employer business firm",
            ("company.name", "company", "companyId", "name of domain"),
        ),
        ("company", ("company.name", "companyId", "name")),
        ("mobile mobilephone mobilenumber cell cellphone telephone tel phonenumber fon", ("phone",)),
        ("mail emailaddress emailaddresses emails", ("email",)),
        ("photo picture image avatarurl photourl imageurl profilepicture", ("avatar",)),
        ("stage lifecycle lifecyclestatus leadstatus leadstage", ("lifecycleStage",)),
        ("state", ("status",)),
        ("created createdate createddate createdon createdtime creationdate datecreated", ("createdAt",)),
        (
            "updated updatedate updateddate updatedon modified modifiedat lastmodified lastmodifieddate lastupdated",
            ("updatedAt",),
        ),
        ("lastactivity lastactivitydate lastcontacted lastcontactedat", ("lastActivityAt",)),
        ("activities activitiescount", ("activityCount",)),
        ("contacts contactscount", ("contactCount",)),
        ("label labels tag tagkeys", ("tags",)),
        ("list segments segment audience", ("lists",)),
        ("customfields customproperties custom attributes metadata", ("properties",)),
        ("url homepage web site webpage", ("website",)),
        ("domainname host hostname", ("domain",)),
        ("sector branch vertical", ("industry",)),
        ("employees headcount employeecount numberofemployees companysize", ("size",)),
        ("revenue annualrevenue", ("spend",)),
        ("tier subscription", ("plan",)),
        ("body note notes text message description", ("content", "description")),
        ("date timestamp time datetime activitydate occurred", ("occurredAt",)),
        ("color colour", ("color",)),
        ("jobtitle title position", ("role",)),
        ("uuid guid extid", ("externalId",)),
        ("pagesize perpage size count top take", ("limit",)),
        ("orderby sort order sorting", ("sortBy", "sort")),
        ("orderdirection sortdirection direction dir", ("sortOrder", "direction")),
        ("query search term", ("q", "search", "where")),
        ("pagetoken nextcursor after next", ("cursor",)),
        ("since start after startdate fromdate", ("from",)),
        ("until end before enddate todate", ("to",)),
        ("where criteria conditions", ("filter", "filterCriteria", "where")),
        ("fields columns", ("select",)),
    )
    for alias in aliases.split()
}


def find_meant(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that was probably meant.

    It is the same but for case and signs, or another common name of it, or else it is spelled nearly so.
    """
    if len(name) > NAME_CHARACTERS_MAX:
        return None
    names = list(known)
    plain = _to_plain(name)
    same = next((one for one in names if _to_plain(one) == plain), None) if plain else None
    aliases = (one.split(" of ") for one in _ALIASES.get(plain, ()))
    alias = next((one[0] for one in aliases if all(part in names for part in one)), None)
    if same is not None or alias is not None:
        return same or alias
    by_folded = {one.casefold(): one for one in names}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=cutoff)
    return by_folded[near[0]] if near else None


def _to_plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())
