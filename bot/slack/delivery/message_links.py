"""Links to messages in Slack."""

from __future__ import annotations

import logging

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.domain.core.errors import LedgerUnavailable
from bot.domain.core.sentence import Sentence, links_in, with_urls
from bot.ports import Ledger, MessageRef
from bot.slack.core.client import CONNECTION_ERRORS, error_code, is_rate_limited
from bot.slack.delivery.poster import keep_latest

log = logging.getLogger(__name__)


class MessageLinks:
    """Fetches permalinks to messages, and caches the latest ones."""

    def __init__(self, client: WebClient, ledger: Ledger) -> None:
        self._client = client
        self._ledger = ledger
        self._links: dict[MessageRef, str] = {}

    def permalink(self, message_ref: MessageRef) -> str:
        """Return a message's link; empty if Slack doesn't return one.

        Raises SlackApiError if Slack limits the rate, and any of CONNECTION_ERRORS.
        """
        if message_ref not in self._links:
            try:
                answer = self._client.chat_getPermalink(channel=message_ref.channel, message_ts=message_ref.ts)
            except SlackApiError as error:
                if is_rate_limited(error):
                    raise
                log.warning("can't get the link to a message (%s)", error_code(error))
                return ""
            self._links[message_ref] = str(answer["permalink"])
            keep_latest(self._links)
        return self._links[message_ref]

    def find(self, message_ref: MessageRef) -> str:
        """Return a message's link; empty if Slack doesn't return one, limits the rate, or can't be reached."""
        try:
            return self.permalink(message_ref)
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            log.warning("can't get the link to a message (%s)", error)
            return ""

    def fill_in(self, sentence: Sentence) -> Sentence:
        """Return the sentence with the URLs of its links filled in; a link without a URL names the channel instead."""
        links = list(links_in(sentence))
        if not links:
            return sentence
        try:
            with self._ledger.read() as reader:
                refs = {link: reader.message_ref(link.message) for link in links}
        except LedgerUnavailable as error:
            log.warning("can't link to a message: %s", error)
            return sentence
        return with_urls(sentence, {link: self.find(ref) if ref else "" for link, ref in refs.items()})
