"""Direct messages to admins about problems that only they can fix."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from bot.domain.core.actors import Person
from bot.domain.core.errors import LedgerUnavailable
from bot.domain.core.sentence import Code, Sentence, join_sentences, join_with_conjunction, say
from bot.domain.policy.callers.people import is_slack_id
from bot.domain.policy.policy import Policy
from bot.domain.promotions.approvers import MAX_NOTIFIED
from bot.ports import Directory, Ledger
from bot.services.core.outbox_messages import direct_message

log = logging.getLogger(__name__)

REINSTALL_ADVICE = (
    "Reinstall the app: paste manifest.yml under App Manifest, then Install App → Reinstall to Workspace."
)
OPTIONAL_SCOPES = {  # what doesn't work without them; an app that was installed from an older manifest lacks them
    "app_mentions:read": "answer mentions",
    "links:read": "preview links to versions",
    "links:write": "preview links to versions",
}


class AdminAlerts:
    """Notifies the policy's admins. Everything is also logged, in case the policy names no admin."""

    def __init__(self, ledger: Ledger, policy: Callable[[], Policy], directory: Directory) -> None:
        self._ledger = ledger
        self._policy = policy
        self._directory = directory
        self._notified_keys: set[str] = set()
        self._reported_scopes: set[str] = set()

    def report_missing_scopes(self, scopes: Iterable[str]) -> None:
        """Tell admins which Slack scopes the app is missing, each scope once. Never raises."""
        new_scopes = sorted(set(scopes) - self._reported_scopes)
        if not new_scopes:
            return
        sentence = join_sentences(
            [
                say("The Slack app is missing scopes that I need: {scopes}.", scopes=list(map(Code, new_scopes))),
                *_missing_features(new_scopes),
                say("{reinstall}", reinstall=REINSTALL_ADVICE),
            ],
            " ",
        )
        key = f"scopes:{','.join(new_scopes)}"
        self.notify(key, sentence)
        if key in self._notified_keys:
            self._reported_scopes.update(new_scopes)

    def notify(self, key: str, sentence: Sentence) -> None:
        """Send each admin one direct message per key. Never raises.

        The outbox keeps keys forever, so neither a restart nor another process sends the message again.
        """
        if key in self._notified_keys:
            return
        log.warning("%s", sentence)
        admin_ids = [
            slack_id for slack_id in sorted(self._policy().expand_roles([Policy.ADMIN_ROLE])) if is_slack_id(slack_id)
        ]
        users = self._directory.member_ids(admin_ids)[:MAX_NOTIFIED]
        try:
            with self._ledger.write() as tx:
                for user in users:
                    name = f"admins:{key}:{user}"
                    tx.add_message(*direct_message(name, f"direct:{name}", Person("", user), sentence))
        except LedgerUnavailable as error:
            log.warning("can't notify the admins: %s", error)
        else:
            if users or not admin_ids:
                self._notified_keys.add(key)


def _missing_features(scopes: Iterable[str]) -> list[Sentence]:
    features = list(dict.fromkeys(OPTIONAL_SCOPES[scope] for scope in scopes if scope in OPTIONAL_SCOPES))
    return (
        [say("Without them, I can't {features}.", features=join_with_conjunction(features, "or"))] if features else []
    )
