"""Other common names of fields and parameters, for suggestions."""

import difflib
from collections.abc import Iterable

NAME_CHARACTERS_MAX = 100
# Of shorter words every other is a typing mistake away; short ones keep their first letter; long ones may have two.
LETTERS_MIN, SHORT_LETTERS_MAX, LONG_LETTERS_MIN = 3, 4, 8
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
        ("company", ("company.name", "companyId", "name of domain")),
        ("companies", ("company",)),
        ("mobile mobilephone mobilenumber cell cellphone telephone tel phonenumber fon fone", ("phone",)),
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
        ("contacts contactscount", ("contactCount", "contact")),
        ("label labels tag tagkeys", ("tags",)),
        ("list segments segment audience audienceid", ("lists", "listId")),
        ("customfields customproperties custom attributes metadata property", ("properties",)),
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
        ("orderby sort order sorting", ("sortBy", "sort", "sortOrder")),
        ("orderdirection sortdirection direction dir", ("sortOrder", "direction")),
        ("query search term", ("q", "search", "where")),
        ("pagetoken nextcursor after next", ("cursor",)),
        ("since start after startdate fromdate", ("from",)),
        ("until end before enddate todate", ("to",)),
        ("where criteria conditions", ("filter", "filterCriteria", "where")),
        ("fields columns", ("select",)),
        ("token key apitoken bearer secretkey", ("accessToken", "apiKey")),
        ("apikey", ("accessToken",)),
        ("accesstoken", ("apiKey",)),
        ("secret signingsecret hooksecret clientsecret", ("webhookSecret",)),
    )
    for alias in aliases.split()
}


def find_meant(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant.

    It is the same but for case and signs, or another common name of it, or else one or two typing mistakes away. What
    both begin with up to a dot is no likeness: only what follows is compared.
    """
    if len(name) > NAME_CHARACTERS_MAX:
        return None
    names, plain = list(known), _to_plain(name)
    if not plain:
        return None
    if (same := next((one for one in names if _to_plain(one) == plain), None)) is not None:
        return same
    if plain.isdecimal():
        return None  # another number is another thing
    head, dot, tail = name.rpartition(".")
    if dot and (inside := [one.removeprefix(head + dot) for one in names if one.startswith(head + dot)]):
        meant = find_meant(tail, inside)
        return head + dot + meant if meant is not None else None
    by_plain: dict[str, str] = {}
    for one in sorted(names, key=lambda one: "." in one):
        by_plain.setdefault(_to_plain(one if dot else one.rpartition(".")[2]), one)
    if plain in by_plain:
        return by_plain[plain]
    if plain in _ALIASES:  # a word with a meaning of its own is not misspelled
        aliases = (one.split(" of ") for one in _ALIASES[plain])
        return next((one[0] for one in aliases if all(part in names for part in one)), None)
    near = [one for one in difflib.get_close_matches(plain, by_plain, n=3) if _is_mistyped(plain, one)]
    return by_plain[near[0]] if near else None


def _is_mistyped(typed: str, meant: str) -> bool:
    """Whether letters were swapped, left out, added or changed: one, or two of eight and more."""
    if max(len(typed), len(meant)) < LETTERS_MIN or (len(meant) <= SHORT_LETTERS_MAX and typed[0] != meant[0]):
        return False
    before, row = list[int](), list(range(len(meant) + 1))
    for at, letter in enumerate(typed):
        last, before, row = before, row, [at + 1]
        for there, other in enumerate(meant):
            edits = min(before[there + 1] + 1, row[there] + 1, before[there] + (letter != other))
            if at and there and letter == meant[there - 1] and typed[at - 1] == other:
                edits = min(edits, last[there - 1] + 1)
            row.append(edits)
    return row[-1] <= (2 if len(meant) >= LONG_LETTERS_MIN else 1)


def _to_plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())
