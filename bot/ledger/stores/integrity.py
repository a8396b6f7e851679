"""Rows about digests and passports."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func, select

from bot.domain.integrity.digest import VersionDigest
from bot.domain.transitions.passport import Passport
from bot.ledger.stores.base import SqlReadStore, SqlWriteStore, to_row
from bot.ledger.tables import digests, passports
from bot.ports.integrity import DigestReader, DigestWriter


class DigestQueries(SqlReadStore, DigestReader):
    """Reads digests and passports; see the ports."""

    def digest(self, digest_id: str) -> VersionDigest | None:
        return self._find_by_key(VersionDigest, digests.c.id, digest_id)

    def digests_of(self, model: str, version: int) -> list[VersionDigest]:
        query = select(digests).where(digests.c.model == model, digests.c.version == version)
        return self._list(VersionDigest, query.order_by(digests.c.number.desc()))

    def due_digest(self, now: datetime) -> VersionDigest | None:
        due = select(digests).where(digests.c.due_at <= now)
        return self._find(VersionDigest, due.order_by(digests.c.due_at).limit(1))

    def times_of_digests(self) -> dict[str, datetime | None]:
        times = func.coalesce(digests.c.due_at, digests.c.compared_at, digests.c.recorded_at)
        return {row[0]: row[1] for row in self._connection.execute(select(digests.c.id, times))}

    def passport(self, move: str) -> Passport | None:
        query = select(passports).where(passports.c.move == move)
        return self._find(Passport, query.order_by(passports.c.number.desc()).limit(1))

    def passports(self, model: str, version: int) -> list[Passport]:
        query = select(passports).where(passports.c.model == model, passports.c.version == version)
        return self._list(Passport, query.order_by(passports.c.number.desc()))

    def current_passports(self, now: datetime, models: Collection[str] | None = None) -> list[Passport]:
        newest = select(func.max(passports.c.number)).group_by(passports.c.move)
        query = select(passports).where(passports.c.expires_at > now, passports.c.number.in_(newest))
        query = query if models is None else query.where(passports.c.model.in_(models))
        return self._list(Passport, query.order_by(passports.c.number))


class DigestStore(SqlWriteStore, DigestQueries, DigestWriter):
    """Writes digests and passports; see the ports."""

    def add_digest(self, digest: VersionDigest) -> bool:
        return self._insert(digests, to_row(digest), "id")

    def save_digest(self, digest: VersionDigest) -> None:
        self._update(digests, digest.id, to_row(digest))

    def add_passport(self, passport: Passport) -> bool:
        return self._insert(passports, to_row(passport), "id")
