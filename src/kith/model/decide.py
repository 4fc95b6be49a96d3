"""What becomes of a command in a state. Run twice: the API predicts with it, the writer decides with it."""

from collections.abc import Callable, Mapping
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
from kith.model.records import Claim, Identity
from kith.model.rules.activities import log_activity
from kith.model.rules.associations import associate_company, remove_association, update_association
from kith.model.rules.companies import create_company, delete_company, restore_company, update_company
from kith.model.rules.contacts import create_contact, delete_contact, restore_contact, update_contact
from kith.model.rules.decisions import Accepted, Decision, Rejected
from kith.model.rules.lists import add_members, create_list, delete_list, remove_members, update_list
from kith.model.rules.merge import merge_contacts
from kith.model.rules.properties import archive_property, create_property, update_property
from kith.model.rules.tags import assign_tag, create_tag, delete_tag, remove_tag, update_tag
from kith.model.state import State, Touches

__all__ = ["Accepted", "Decision", "Rejected", "decide", "fold", "touches"]

_CONTACT_SCHEMA: frozenset[Identity] = frozenset((("schema", "CONTACT"),))
_COMPANY_SCHEMA: frozenset[Identity] = frozenset((("schema", "COMPANY"),))
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
    AddMembers: add_members,
    RemoveMembers: remove_members,
    LogActivity: log_activity,
    CreateProperty: create_property,
    UpdateProperty: update_property,
    ArchiveProperty: archive_property,
}


def decide(state: State, command: Command, at: datetime) -> Decision:
    """What becomes of the command at that time. Changes nothing; ``fold`` does."""
    return RULES[type(command)](state, command, at)


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
    claims: list[Claim] = []
    records: list[Identity] = []
    match command:
        case CreateContact():
            claims = [("email", command.email)] if command.email else []
            return Touches(records=_CONTACT_SCHEMA, claims=frozenset(claims), fresh=frozenset((command.subject,)))
        case CreateCompany():
            claims = [("domain", command.domain)] if command.domain else []
            return Touches(records=_COMPANY_SCHEMA, claims=frozenset(claims), fresh=frozenset((command.subject,)))
        case CreateProperty():
            return Touches(records=frozenset((("schema", command.entity),)), fresh=frozenset((command.subject,)))
        case UpdateProperty() | ArchiveProperty():
            return Touches(records=frozenset((command.subject, ("schema", command.entity))))
        case CreateTag():
            return Touches(claims=frozenset((("tag_key", command.key),)), fresh=frozenset((command.subject,)))
        case LogActivity():
            contact = ("contact", command.contact_id)
            return Touches(records=frozenset((contact,)), fresh=frozenset((command.subject,)))
        case CreateList():
            return Touches(fresh=frozenset((command.subject,)))
        case AddMembers() | RemoveMembers():
            records = [command.subject, *((command.entity, record_id) for record_id in command.record_ids)]
        case MergeContacts():
            records = [command.subject, ("contact", command.loser_id)]
        case AssociateCompany() | UpdateAssociation() | RemoveAssociation():
            records = [command.subject, ("company", command.company_id)]
            if not isinstance(command, RemoveAssociation):
                records.append(("schema", "CONTACT_COMPANY"))
        case AssignTag() | RemoveTag():
            records = [command.subject, ("tag", command.tag_id)]
        case _:
            records = [command.subject]
            if isinstance(command, (UpdateContact, UpdateCompany)):
                name = "email" if isinstance(command, UpdateContact) else "domain"
                claims = [(name, value)] if (value := command.changes.get(name)) else []
                if "properties" in command.changes:
                    records += _CONTACT_SCHEMA if isinstance(command, UpdateContact) else _COMPANY_SCHEMA
    return Touches(records=frozenset(records), claims=frozenset(claims))
