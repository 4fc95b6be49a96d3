"""Decide a command in a state. The API predicts with it, and the writer decides with it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from kith.model.commands import (
    AddMembers,
    ArchiveProperty,
    AssignTag,
    AssociateCompany,
    Command,
    CreateCompany,
    CreateContact,
    CreateList,
    CreateProperty,
    CreateTag,
    DeleteCompany,
    DeleteContact,
    DeleteList,
    DeleteTag,
    EvaluateList,
    LogActivity,
    MergeContacts,
    RemoveAssociation,
    RemoveMembers,
    RemoveTag,
    RestoreCompany,
    RestoreContact,
    UpdateAssociation,
    UpdateCompany,
    UpdateContact,
    UpdateList,
    UpdateProperty,
    UpdateTag,
)
from kith.model.events import Event
from kith.model.names import list_names, to_claim
from kith.model.records import Claim, Identity
from kith.model.rules.activities import log_activity
from kith.model.rules.associations import associate_company, remove_association, update_association
from kith.model.rules.companies import create_company, delete_company, restore_company, update_company
from kith.model.rules.contacts import create_contact, delete_contact, restore_contact, update_contact
from kith.model.rules.decisions import Accepted, Decision, Rejected, find_taken_id
from kith.model.rules.lists import add_members, create_list, delete_list, evaluate_list, remove_members, update_list
from kith.model.rules.merge import merge_contacts
from kith.model.rules.properties import archive_property, create_property, update_property
from kith.model.rules.tags import assign_tag, create_tag, delete_tag, remove_tag, update_tag
from kith.model.state import State, Touches

__all__ = ["Accepted", "Decision", "Rejected", "decide", "fold", "touches"]

_MAKING = (CreateContact, CreateCompany, CreateTag, CreateList, CreateProperty, LogActivity)
RULES: Mapping[type[Command], Callable[[State, Any, datetime], Decision]] = {
    CreateContact: create_contact,
    UpdateContact: update_contact,
    DeleteContact: delete_contact,
    RestoreContact: restore_contact,
    MergeContacts: merge_contacts,
    CreateCompany: create_company,
    UpdateCompany: update_company,
    DeleteCompany: delete_company,
    RestoreCompany: restore_company,
    AssociateCompany: associate_company,
    UpdateAssociation: update_association,
    RemoveAssociation: remove_association,
    CreateTag: create_tag,
    UpdateTag: update_tag,
    DeleteTag: delete_tag,
    AssignTag: assign_tag,
    RemoveTag: remove_tag,
    CreateList: create_list,
    UpdateList: update_list,
    DeleteList: delete_list,
    EvaluateList: evaluate_list,
    AddMembers: add_members,
    RemoveMembers: remove_members,
    LogActivity: log_activity,
    CreateProperty: create_property,
    UpdateProperty: update_property,
    ArchiveProperty: archive_property,
}


def decide(state: State, command: Command, at: datetime) -> Decision:
    """What becomes of the command at that time. Changes nothing; ``fold`` does."""
    decision = RULES[type(command)](state, command, at)
    # Last, as ids are looked up only where one turns out to be taken: the refusal must not depend on that.
    if isinstance(command, _MAKING) and isinstance(decision, Accepted):
        return find_taken_id(state, command.subject) or decision
    return decision


def fold(state: State, event: Event) -> None:
    """Bring the state to what it is after the event."""
    if event.removed:
        state.remove(event.record.identity)
    else:
        state.put(event.record)
    for record in event.also:
        state.put(record)
    if state.numbers is not None and event.makes_record:
        state.numbers[event.record.kind] += 1


def touches(command: Command) -> Touches:
    """What has to be loaded before the command can be decided."""
    subject = frozenset((command.subject,))
    named = frozenset(_list_named(command))
    claims = frozenset(_list_claims(command))
    fresh: frozenset[Identity] = frozenset()
    if isinstance(command, _MAKING):
        fresh = subject
    else:
        named |= subject
    if by_claim := list_names(command).values():
        named = frozenset(identity for identity in named if to_claim(identity[1]) is None)
        claims |= frozenset(by_claim)
        return Touches(records=named, claims=claims, fresh=fresh, by_claim=True)
    return Touches(records=named, claims=claims, fresh=fresh)


def _list_named(command: Command) -> Sequence[Identity]:
    """The records beside its subject that the command is about, and the schema that its properties are held to."""
    match command:
        case CreateContact():
            return (("schema", "CONTACT"),)
        case CreateCompany():
            return (("schema", "COMPANY"),)
        case UpdateContact() | UpdateCompany():
            entity = "CONTACT" if isinstance(command, UpdateContact) else "COMPANY"
            return (("schema", entity),) if "properties" in command.changes else ()
        case CreateProperty() | UpdateProperty() | ArchiveProperty():
            return (("schema", command.entity),)
        case AssociateCompany() | UpdateAssociation() | RemoveAssociation():
            return ("company", command.company_id), ("schema", "CONTACT_COMPANY")
        case AssignTag() | RemoveTag():
            return (("tag", command.tag_id),)
        case LogActivity():
            return (("contact", command.contact_id),)
        case MergeContacts():
            return (("contact", command.loser_id),)
        case AddMembers() | RemoveMembers():
            return [(command.entity, record_id) for record_id in command.record_ids]
        case _:
            return ()


def _list_claims(command: Command) -> Sequence[Claim]:
    """The unique values that the command wants to be held by its subject."""
    match command:
        case CreateContact():
            return (("email", command.email),) if command.email else ()
        case CreateCompany():
            return (("domain", command.domain),) if command.domain else ()
        case CreateTag():
            return (("tag_key", command.key),)
        case UpdateContact() | UpdateCompany():
            name = "email" if isinstance(command, UpdateContact) else "domain"
            return ((name, value),) if (value := command.changes.get(name)) else ()
        case _:
            return ()
