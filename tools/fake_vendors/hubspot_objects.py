"""HubSpot's calls about objects: one, many, a search, a merge, a deletion for good."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from kith.clock import Clock, to_iso
from tools.fake_vendors import schemas
from tools.fake_vendors.hubspot_portal import Portal, Record, describe
from tools.fake_vendors.hubspot_rules import (
    KNOWN,
    make_error,
    refuse,
    refuse_body,
    refuse_missing,
    to_milliseconds,
)
from tools.fake_vendors.wire import Answer, Asked, Refused, Route, make_route, read_body

SHOWN: Mapping[str, Sequence[str]] = {
    "contacts": ("email", "firstname", "lastname", "createdate", "lastmodifieddate", "hs_object_id"),
    "companies": ("name", "domain", "createdate", "hs_lastmodifieddate", "hs_object_id"),
}
SHOWN_OF_ENGAGEMENTS = ("hs_createdate", "hs_lastmodifieddate", "hs_object_id")
SEARCH_RESULTS_MAX = 10_000
TRACE = "objectWriteTraceId"
# Checks an input, and gives what carries it out: to an object, or to one and whether it is new.
Plan = Callable[[], Callable[[], Record | tuple[Record, bool]]]


class Objects:
    """``get_partial`` tells the batch calls (create, update, upsert) that take the good inputs where others are bad."""

    def __init__(self, portal: Portal, clock: Clock, get_partial: Callable[[], Collection[str]]) -> None:
        self._portal = portal
        self._clock = clock
        self._get_partial = get_partial

    def list_routes(self, version: str) -> list[Route]:
        path = f"/crm/objects/{version}/{{kind:{'|'.join(KNOWN)}}}"
        contacts = f"/crm/objects/{version}/contacts"
        return [
            make_route("POST", path, self.create),
            make_route("POST", f"{path}/search", self.search),
            make_route("POST", f"{path}/batch/create", self.create_many),
            make_route("POST", f"{path}/batch/update", self.update_many),
            make_route("POST", f"{path}/batch/upsert", self.upsert_many),
            make_route("POST", f"{path}/batch/read", self.read_many, "archived"),
            make_route("POST", f"{path}/batch/archive", self.archive_many),
            make_route("POST", f"{contacts}/merge", self.merge),
            make_route("POST", f"{contacts}/gdpr-delete", self.erase),
            make_route("GET", f"{path}/{{id}}", self.read, "properties", "idProperty", "archived"),
            make_route("PATCH", f"{path}/{{id}}", self.update, "idProperty"),
            make_route("DELETE", f"{path}/{{id}}", self.archive),
        ]

    def create(self, asked: Asked, version: str, kind: str) -> Answer:
        body = read_body(asked, schemas.NewObject, refuse_body)
        record = self._plan_create(kind, body.properties, body.associations)()
        return Answer(status=201, body=show(record))

    def read(self, asked: Asked, version: str, kind: str, identifier: str) -> Answer:
        if asked.query.get("archived") == "true":
            record = self._portal.find_archived(kind, identifier)
            if record is None:
                refuse_missing(f"archived {kind}", identifier)
        else:
            record = self._portal.get(kind, identifier, asked.query.get("idProperty"))
        names = [name for name in asked.query.get("properties", "").split(",") if name]
        return Answer(status=200, body=show(record, names or SHOWN.get(kind, ()), kind))

    def update(self, asked: Asked, version: str, kind: str, identifier: str) -> Answer:
        body = read_body(asked, schemas.ChangedObject, refuse_body)
        record = self._portal.get(kind, identifier, asked.query.get("idProperty"))
        self._portal.write(kind, record, self._portal.check(kind, body.properties, record))
        return Answer(status=200, body=show(record))

    def archive(self, asked: Asked, version: str, kind: str, identifier: str) -> Answer:
        self._portal.archive(kind, self._portal.get(kind, identifier))
        return Answer(status=204)

    def create_many(self, asked: Asked, version: str, kind: str) -> Answer:
        body = read_body(asked, schemas.BatchCreate, refuse_body)
        refuse_twins(one.properties.get("email", "") for one in body.inputs)
        plans = [
            (one.object_write_trace_id, lambda one=one: self._plan_create(kind, one.properties, one.associations))
            for one in body.inputs
        ]
        return self._run("create", 201, plans)

    def update_many(self, asked: Asked, version: str, kind: str) -> Answer:
        body = read_body(asked, schemas.BatchWrite, refuse_body)
        refuse_repeated(body.inputs)
        refuse_twins(one.properties.get("email", "") for one in body.inputs)
        plans = [(one.object_write_trace_id, lambda one=one: self._plan_update(kind, one)) for one in body.inputs]
        return self._run("update", 200, plans)

    def upsert_many(self, asked: Asked, version: str, kind: str) -> Answer:
        body = read_body(asked, schemas.BatchWrite, refuse_body)
        for one in body.inputs:
            self._portal.check_id_property(kind, one.id_property or "hs_object_id")
        by_email = [one for one in body.inputs if one.id_property == "email"]
        refuse_repeated([one for one in body.inputs if one.id_property != "email"])
        refuse_twins(one.id for one in by_email)
        refuse_twins(_get_email(one) for one in body.inputs)
        plans = [(one.object_write_trace_id, lambda one=one: self._plan_upsert(kind, one)) for one in body.inputs]
        return self._run("upsert", 200, plans)

    def read_many(self, asked: Asked, version: str, kind: str) -> Answer:
        body = read_body(asked, schemas.BatchRead, refuse_body)
        results: list[dict[str, Any]] = []
        missing = []
        for one in body.inputs:
            record = self._portal.find(kind, one.id, body.id_property)
            if asked.query.get("archived") == "true":
                record = self._portal.find_archived(kind, one.id)
            if record is None:
                missing.append(one.id)
            elif all(result["id"] != record.id for result in results):
                results.append(show(record, body.properties or SHOWN.get(kind, ()), kind))
        errors = []
        if missing:
            errors.append(make_error("OBJECT_NOT_FOUND", "Some objects are not there.", context={"ids": missing}))
        return self._answer_batch(200, results, errors)

    def archive_many(self, asked: Asked, version: str, kind: str) -> Answer:
        body = read_body(asked, schemas.BatchArchive, refuse_body)
        for one in body.inputs:
            record = self._portal.find(kind, one.id)
            if record is not None:
                self._portal.archive(kind, record)
        return Answer(status=204)

    def merge(self, asked: Asked, version: str) -> Answer:
        body = read_body(asked, schemas.Merge, refuse_body)
        primary = self._portal.get("contacts", body.primary_object_id)
        other = self._portal.get("contacts", body.object_id_to_merge)
        if primary is other:
            refuse_body("An object cannot be merged into itself.")
        return Answer(status=200, body=show(self._portal.merge("contacts", primary, other)))

    def erase(self, asked: Asked, version: str) -> Answer:
        body = read_body(asked, schemas.GdprDelete, refuse_body)
        record = self._portal.find("contacts", body.object_id, body.id_property)
        if record is None and body.id_property is None:
            record = self._portal.find_archived("contacts", body.object_id)
        if record is not None:
            self._portal.erase("contacts", record)
        elif body.id_property == "email":
            self._portal.blocked_emails.add(body.object_id.lower())
        else:
            refuse_missing("contacts", body.object_id)
        return Answer(status=204)

    def search(self, asked: Asked, version: str, kind: str) -> Answer:
        body = read_body(asked, schemas.Search, refuse_body)
        start = int(body.after or 0)
        if start + body.limit > SEARCH_RESULTS_MAX:
            refuse_body(f"A search goes no further than {SEARCH_RESULTS_MAX} results.")
        named = [one.property_name for group in body.filter_groups for one in group.filters]
        unknown = [name for name in named if name not in self._portal.properties[kind]]
        if unknown:
            refuse_body(f"There is no property {unknown[0]!r}.")
        found = [
            record
            for record in self._portal.objects[kind].values()
            if not record.archived
            and (not body.filter_groups or any(_fits(record, group) for group in body.filter_groups))
        ]
        for sort in body.sorts:
            name, reverse = sort.lstrip("-"), sort.startswith("-")
            found.sort(key=lambda record: _to_comparable(record.properties.get(name, "")), reverse=reverse)
        page = found[start : start + body.limit]
        answer: dict[str, Any] = {
            "total": len(found),
            "results": [show(record, body.properties or SHOWN.get(kind, ()), kind) for record in page],
        }
        if start + body.limit < len(found):
            answer["paging"] = {"next": {"after": str(start + body.limit)}}
        return Answer(status=200, body=answer)

    def _plan_create(
        self, kind: str, properties: Mapping[str, str], associations: Sequence[schemas.NewAssociation]
    ) -> Callable[[], Record]:
        """Everything is checked before anything is done."""
        portal = self._portal
        values = portal.check(kind, properties, None)
        links = [
            (*self._find_target(kind, one.to.id, spec), spec.association_type_id)
            for one in associations
            for spec in one.types
        ]

        def create() -> Record:
            record = portal.create(kind, values)
            for to, identifier, number in links:
                portal.link((kind, record.id), (to, identifier), number)
            return record

        return create

    def _find_target(self, kind: str, identifier: str, spec: schemas.AssociationSpec) -> tuple[str, str]:
        """The type of the association says which type of objects the id is of."""
        fits = [to for to in KNOWN if self._portal.is_association(kind, to, spec)]
        if not fits:
            refuse_body(f"There is no association {describe(spec)} from {kind}.")
        return fits[0], self._portal.get(fits[0], identifier).id

    def _plan_update(self, kind: str, one: schemas.WriteInput) -> Callable[[], Record]:
        record = self._portal.get(kind, one.id, one.id_property)
        values = self._portal.check(kind, one.properties, record)

        def update() -> Record:
            self._portal.write(kind, record, values)
            return record

        return update

    def _plan_upsert(self, kind: str, one: schemas.WriteInput) -> Callable[[], tuple[Record, bool]]:
        by_id = one.id_property in (None, "hs_object_id")
        record = self._portal.find(kind, one.id, one.id_property)
        if record is None and by_id:
            refuse_missing(kind, one.id)
        given = one.properties if record is not None else {one.id_property or "": one.id, **one.properties}
        values = self._portal.check(kind, given, record)

        def upsert() -> tuple[Record, bool]:
            if record is None:
                return self._portal.create(kind, values), True
            self._portal.write(kind, record, values)
            return record, False

        return upsert

    def _run(self, name: str, status: int, plans: Sequence[tuple[str | None, Plan]]) -> Answer:
        """All of them, or none where one is bad; where the call is partial, the good ones."""
        ready: list[tuple[str | None, Callable[[], Record | tuple[Record, bool]]]] = []
        errors = []
        for trace, plan in plans:
            try:
                ready.append((trace, plan()))
            except Refused as refused:
                if name not in self._get_partial():
                    raise
                error = dict(refused.answer.body)
                del error["correlationId"]
                error["context"] = {**error.get("context", {}), **({TRACE: [trace]} if trace else {})}
                errors.append(error)
        results = []
        for trace, work in ready:
            done = work()
            record, more = (done[0], {"new": done[1]}) if isinstance(done, tuple) else (done, {})
            results.append({**show(record), **more, **({TRACE: trace} if trace else {})})
        return self._answer_batch(status, results, errors)

    def _answer_batch(self, status: int, results: Sequence[Any], errors: Sequence[Any]) -> Answer:
        now = to_iso(self._clock.now())
        body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
        if errors:
            body |= {"numErrors": len(errors), "errors": errors}
        return Answer(status=207 if errors else status, body=body)


def show(record: Record, names: Sequence[str] | None = None, kind: str | None = None) -> dict[str, Any]:
    """As an answer has it: all properties, or those with the names, null where they have no value."""
    shown: dict[str, str | None] = {**record.properties}
    if names is not None:
        always = SHOWN.get(kind or "", SHOWN_OF_ENGAGEMENTS)[-3:]
        shown = {name: record.properties.get(name) for name in (*names, *always)}
    answer = {
        "id": record.id,
        "properties": shown,
        "createdAt": to_iso(record.created_at),
        "updatedAt": to_iso(record.updated_at),
        "archived": record.archived,
    }
    return answer | ({"archivedAt": to_iso(record.archived_at)} if record.archived_at else {})


def refuse_twins(emails: Iterable[str]) -> None:
    """409 where two inputs of a batch have the same address."""
    seen: set[str] = set()
    for email in emails:
        lowered = email.lower()
        if lowered and lowered in seen:
            refuse(409, "CONFLICT", f"Two inputs of the batch have the email {lowered}.")
        seen.add(lowered)


def refuse_repeated(inputs: Sequence[schemas.WriteInput]) -> None:
    ids = [(one.id_property, one.id) for one in inputs]
    if len(set(ids)) < len(ids):
        refuse_body("Two inputs of the batch have the same id.")


def _get_email(one: schemas.WriteInput) -> str:
    return one.properties.get("email", one.id if one.id_property == "email" else "")


def _fits(record: Record, group: schemas.FilterGroup) -> bool:
    return all(_fits_filter(record.properties.get(one.property_name, ""), one) for one in group.filters)


def _fits_filter(value: str, one: schemas.Filter) -> bool:
    if one.operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return bool(value) == (one.operator == "HAS_PROPERTY")
    if one.operator in ("IN", "NOT_IN"):
        if one.values is None:
            refuse_body(f"{one.operator} needs values.")
        return (value in one.values) == (one.operator == "IN")
    if one.value is None or (one.operator == "BETWEEN") != (one.high_value is not None):
        refuse_body(f"{one.operator} needs a value, and BETWEEN a highValue too.")
    if not value:
        return one.operator == "NEQ"
    held, wanted = _to_comparable(value), _to_comparable(one.value)
    return {
        "EQ": held == wanted,
        "NEQ": held != wanted,
        "LT": held < wanted,
        "LTE": held <= wanted,
        "GT": held > wanted,
        "GTE": held >= wanted,
        "BETWEEN": wanted <= held <= _to_comparable(one.high_value or ""),
    }[one.operator]


def _to_comparable(value: str) -> tuple[float, str]:
    """Numbers and times by what they are, text by its letters in any case."""
    milliseconds = to_milliseconds(value)
    if milliseconds is not None:
        return milliseconds, ""
    try:
        return msgspec.convert(value, float, strict=False), ""
    except msgspec.ValidationError:
        return float("inf"), value.lower()
