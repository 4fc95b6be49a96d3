"""HubSpot's calls about associations between objects."""

from collections.abc import Sequence
from typing import Any

import msgspec

from kith.clock import Clock, to_iso
from tools.fake_vendors import schemas
from tools.fake_vendors.hubspot_portal import DEFAULT_TYPES, PRIMARY_TYPES, Key, Portal
from tools.fake_vendors.hubspot_rules import KNOWN, OBJECT_TYPE_IDS, refuse_body
from tools.fake_vendors.wire import Answer, Asked, Route, make_route, read_body

PAGE = 500


class Links:
    def __init__(self, portal: Portal, clock: Clock) -> None:
        self._portal = portal
        self._clock = clock

    def list_routes(self, version: str) -> list[Route]:
        kinds = "|".join(KNOWN)
        one = f"/crm/objects/{version}/{{from:{kinds}}}/{{id}}/associations"
        many = f"/crm/associations/{version}/{{from:{kinds}}}/{{to:{kinds}}}/batch"
        return [
            make_route("PUT", f"{one}/default/{{to:{kinds}}}/{{id}}", self.link_default),
            make_route("PUT", f"{one}/{{to:{kinds}}}/{{id}}", self.link),
            make_route("DELETE", f"{one}/{{to:{kinds}}}/{{id}}", self.unlink),
            make_route("GET", f"{one}/{{to:{kinds}}}", self.read, "limit", "after"),
            make_route("POST", f"{many}/create", self.link_many),
            make_route("POST", f"{many}/archive", self.unlink_many),
            make_route("POST", f"{many}/labels/archive", self.unlink_labels),
        ]

    def link(self, asked: Asked, version: str, kind: str, identifier: str, to: str, to_id: str) -> Answer:
        specs = read_body(asked, list[schemas.AssociationSpec], refuse_body)
        if not specs:
            refuse_body("An association needs a type.")
        source, target = self._get_ends(kind, identifier, to, to_id)
        self._link(source, target, specs)
        return Answer(status=201, body=_show_pair(source, target))

    def link_default(self, asked: Asked, version: str, kind: str, identifier: str, to: str, to_id: str) -> Answer:
        source, target = self._get_ends(kind, identifier, to, to_id)
        number = self._get_default(kind, to)
        self._portal.link(source, target, number)
        both = ((source, target, number), (target, source, DEFAULT_TYPES[to, kind]))
        results = [
            {
                "from": {"id": one[1]},
                "to": {"id": other[1]},
                "associationSpec": {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": number},
            }
            for one, other, number in both
        ]
        return self._answer_batch(200, results)

    def unlink(self, asked: Asked, version: str, kind: str, identifier: str, to: str, to_id: str) -> Answer:
        self._portal.unlink(*self._get_ends(kind, identifier, to, to_id))
        return Answer(status=204)

    def read(self, asked: Asked, version: str, kind: str, identifier: str, to: str) -> Answer:
        source = (kind, self._portal.get(kind, identifier).id)
        start, limit = (
            _to_number(asked.query.get(name, str(usual))) for name, usual in (("after", 0), ("limit", PAGE))
        )
        targets = [
            (target[1], types) for target, types in self._portal.associations.get(source, {}).items() if target[0] == to
        ]
        results = [
            {"toObjectId": target, "associationTypes": [_show_type(kind, to, number) for number in sorted(types)]}
            for target, types in targets[start : start + limit]
        ]
        body: dict[str, Any] = {"results": results}
        if start + limit < len(targets):
            body["paging"] = {"next": {"after": str(start + limit)}}
        return Answer(status=200, body=body)

    def link_many(self, asked: Asked, version: str, kind: str, to: str) -> Answer:
        body = read_body(asked, schemas.BatchLink, refuse_body)
        pairs = [(*self._get_ends(kind, one.source.id, to, one.to.id), one.types) for one in body.inputs]
        for _, _, specs in pairs:
            self._check(kind, to, specs)
        for source, target, specs in pairs:
            self._link(source, target, specs)
        results = [_show_pair(source, target) for source, target, _ in pairs]
        return self._answer_batch(201 if version == "2026-03" else 200, results)

    def unlink_many(self, asked: Asked, version: str, kind: str, to: str) -> Answer:
        body = read_body(asked, schemas.BatchUnlink, refuse_body)
        for one in body.inputs:
            for target in one.to:
                self._portal.unlink(self._resolve(kind, one.source.id), self._resolve(to, target.id))
        return self._answer_batch(200, [])

    def unlink_labels(self, asked: Asked, version: str, kind: str, to: str) -> Answer:
        body = read_body(asked, schemas.BatchLink, refuse_body)
        for one in body.inputs:
            self._check(kind, to, one.types)
        for one in body.inputs:
            numbers = {spec.association_type_id for spec in one.types}
            self._portal.unlink(self._resolve(kind, one.source.id), self._resolve(to, one.to.id), numbers)
        return self._answer_batch(200, [])

    def _get_ends(self, kind: str, identifier: str, to: str, to_id: str) -> tuple[Key, Key]:
        return (kind, self._portal.get(kind, identifier).id), (to, self._portal.get(to, to_id).id)

    def _resolve(self, kind: str, identifier: str) -> Key:
        return kind, self._portal.resolve(kind, identifier)

    def _get_default(self, kind: str, to: str) -> int:
        number = DEFAULT_TYPES.get((kind, to))
        if number is None:
            refuse_body(f"There are no associations from {kind} to {to}.")
        return number

    def _check(self, kind: str, to: str, specs: Sequence[schemas.AssociationSpec]) -> None:
        for spec in specs:
            self._portal.check_association(kind, to, spec)

    def _link(self, source: Key, target: Key, specs: Sequence[schemas.AssociationSpec]) -> None:
        self._check(source[0], target[0], specs)
        for spec in specs:
            self._portal.link(source, target, spec.association_type_id)

    def _answer_batch(self, status: int, results: Sequence[Any]) -> Answer:
        now = to_iso(self._clock.now())
        body = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
        return Answer(status=status, body=body)


def _show_pair(source: Key, target: Key) -> dict[str, Any]:
    return {
        "fromObjectTypeId": OBJECT_TYPE_IDS[source[0]],
        "fromObjectId": source[1],
        "toObjectTypeId": OBJECT_TYPE_IDS[target[0]],
        "toObjectId": target[1],
        "labels": [],
    }


def _show_type(kind: str, to: str, number: int) -> dict[str, Any]:
    label = "Primary" if PRIMARY_TYPES.get((kind, to)) == number else None
    return {"category": "HUBSPOT_DEFINED", "typeId": number, "label": label}


def _to_number(text: str) -> int:
    try:
        return msgspec.convert(text, int, strict=False)
    except msgspec.ValidationError:
        refuse_body(f"{text!r} is no number.")
