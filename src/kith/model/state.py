"""The state that commands are decided on: the part of one workspace that was loaded for them.

Asking for what was not loaded is a bug and fails loudly: an absent record and an unloaded one must never look alike.
"""

from collections.abc import Iterable

import msgspec

from kith.model.commands import Command, CreateContact, UpdateContact
from kith.model.contacts import Contact


class Touches(msgspec.Struct, frozen=True, kw_only=True):
    """What must be loaded before a command can be decided. ``fresh`` ids are made by the command itself."""

    contacts: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()
    fresh: frozenset[str] = frozenset()


def touches(command: Command) -> Touches:
    if isinstance(command, CreateContact):
        emails = frozenset((command.email,)) if command.email else frozenset()
        return Touches(emails=emails, fresh=frozenset((command.contact_id,)))
    if isinstance(command, UpdateContact) and command.changes.get("email"):
        return Touches(contacts=frozenset((command.contact_id,)), emails=frozenset((command.changes["email"],)))
    return Touches(contacts=frozenset((command.contact_id,)))


class State:
    """Records and claims of one workspace, by external id and by email; ``None`` is known to be absent.

    ``next_number`` is the id of the next contact, or None where ids are not given (a prediction).
    """

    def __init__(self, next_number: int | None = None) -> None:
        self.next_number = next_number
        self._contacts: dict[str, Contact | None] = {}
        self._holders: dict[str, str | None] = {}

    def know_contacts(self, contacts: Iterable[Contact]) -> None:
        """Take loaded contacts in; a live one is known to hold its email."""
        for contact in contacts:
            self._contacts[contact.external_id] = contact
            if contact.claimed_email:
                self._holders[contact.claimed_email] = contact.external_id
            elif contact.email:
                self._holders.setdefault(contact.email, None)

    def know_absent(self, asked: Touches) -> None:
        """All that was asked for and not found is not there."""
        for contact_id in asked.contacts | asked.fresh:
            self._contacts.setdefault(contact_id, None)
        for email in asked.emails:
            self._holders.setdefault(email, None)

    def know_from(self, later: "State", contact_ids: Iterable[str], emails: Iterable[str]) -> None:
        """Take over what a later state knows of these records and claims, and of those that are known here."""
        for contact_id in {*contact_ids, *self._contacts}:
            if (contact := later.peek_contact(contact_id)) is not None:
                self.know_contacts((contact,))
        for email in {*emails, *self._holders}:
            if later.knows_email(email):
                holder = later.find_holder(email)
                if holder is not None:
                    self.know_contacts((holder,))
                self._holders[email] = holder.external_id if holder is not None else None

    def knows_email(self, email: str) -> bool:
        """Whether it is known who holds the email, or that nobody does."""
        return email in self._holders

    def know_holder(self, email: str, holder: str | None) -> None:
        self._holders[email] = holder

    def find_contact(self, contact_id: str) -> Contact | None:
        assert contact_id in self._contacts, f"contact {contact_id} was not loaded"
        return self._contacts[contact_id]

    def find_named(self, name: int | str) -> Contact | None:
        """The loaded contact with this number or external id."""
        if isinstance(name, str):
            return self._contacts.get(name)
        return next((contact for contact in self._contacts.values() if contact and contact.number == name), None)

    def find_by_email(self, email: str) -> Contact | None:
        """The loaded live contact with this email."""
        holder = self._holders.get(email)
        return self._contacts.get(holder) if holder is not None else None

    def peek_contact(self, contact_id: str) -> Contact | None:
        """The record if it is loaded and there."""
        return self._contacts.get(contact_id)

    def find_holder(self, email: str) -> Contact | None:
        """The live contact that has the email."""
        assert email in self._holders, "an email's claim was not loaded"
        holder = self._holders[email]
        return self._contacts[holder] if holder is not None else None

    def put_contact(self, contact: Contact) -> None:
        """The record as it is now; the claim on its email moves with it."""
        before = self._contacts.get(contact.external_id)
        old = before.claimed_email if before else None
        new = contact.claimed_email
        if old != new:
            if old is not None:
                self._holders[old] = None
            if new is not None:
                self._holders[new] = contact.external_id
        self._contacts[contact.external_id] = contact
