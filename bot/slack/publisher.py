"""Comparisons where the team talks: the message, and in its thread the chart, and the whole as CSV where it was cut."""

from __future__ import annotations

import logging

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.domain.comparison import Comparison, to_csv
from bot.domain.errors import SlackUnreachable
from bot.domain.text import Code, clean, say
from bot.ports import Posting
from bot.slack.calls import LOST, QUIET, error_of
from bot.slack.charts import chart_alt, comparison_chart
from bot.slack.comparing import Compared, comparison

log = logging.getLogger(__name__)

# The bot is no member where it was asked, or the place is no channel of its own: the asker gets it directly.
_NOT_THERE = {"not_in_channel", "channel_not_found", "is_archived", "restricted_action", "no_permission"}


class Publisher:
    """Posts comparisons. They are answers to a question: one that gets lost is asked for again."""

    def __init__(self, client: WebClient) -> None:
        self._client = client

    def publish(self, found: Comparison, channel: str, *, person: str, thread: str | None = None) -> Posting:
        """Post a comparison in `channel` (in `thread`, where given), or directly to `person` where we are no member.

        Returns where it stands. Raises SlackUnreachable.
        """
        shown = comparison(found)
        try:
            try:
                standing = self._post(shown, channel, thread)
            except SlackApiError as error:
                if error_of(error) not in _NOT_THERE:
                    raise
                standing = self._post(shown, self._direct(person), None)
            self._attach(found, shown, standing, thread)
        except (SlackApiError, *LOST) as error:
            why = error_of(error) if isinstance(error, SlackApiError) else "no answer"
            raise SlackUnreachable(
                say("Slack did not take the comparison ({why}). Try again.", why=Code(why))
            ) from error
        return standing

    def _post(self, shown: Compared, channel: str, thread: str | None) -> Posting:
        answer = self._client.chat_postMessage(
            channel=channel, text=shown.message.text, blocks=shown.message.blocks, thread_ts=thread, **QUIET,
        )  # fmt: skip
        return Posting(str(answer["channel"]), str(answer["ts"]))

    def _direct(self, person: str) -> str:
        return str(self._client.conversations_open(users=person)["channel"]["id"])

    def _attach(self, found: Comparison, shown: Compared, standing: Posting, thread: str | None) -> None:
        """Put the files into the thread; where Slack takes none (no scope, no such method) the message goes alone."""
        place = Posting(standing.channel, thread or standing.ts)
        name = _file_name(found.model)
        try:
            if found.metrics:
                picture, alt = comparison_chart(found), chart_alt(found)
                self._upload(place, f"{name}-metrics.png", picture, "Metrics by version", alt)
            if shown.is_cut:
                self._upload(place, f"{name}-versions.csv", to_csv(found).encode(), "All versions and metrics", "")
        except (SlackApiError, *LOST) as error:
            log.warning("Slack takes no files (%s): the comparison goes without", error)
            self._client.chat_postMessage(
                channel=place.channel, thread_ts=place.ts, text=_without_files(error), **QUIET
            )

    def _upload(self, place: Posting, name: str, content: bytes, title: str, alt: str) -> None:
        self._client.files_upload_v2(
            channel=place.channel, thread_ts=place.ts, content=content, filename=name, title=title,
            alt_txt=alt[:1000] or None,
        )  # fmt: skip


def _without_files(error: Exception) -> str:
    """Return what the thread says instead of the files, and what helps."""
    if isinstance(error, SlackApiError) and error_of(error) in _NOT_THERE:
        return "I am no member here, so I cannot attach the chart. To get it: `/invite @registrar`, and ask again."
    return "Slack took no files from me, so the chart is missing. Does the app have the scope `files:write`?"


def _file_name(model: str) -> str:
    kept = "".join(char if char.isalnum() or char in "-_." else "_" for char in clean(model))
    return kept[:80] or "model"
