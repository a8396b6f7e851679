"""Findings where the team talks: the message, and in its thread the picture, and the whole as CSV where it was cut."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse

from bot.domain.comparison import Comparison, to_csv
from bot.domain.errors import SlackUnreachable
from bot.domain.history import Timeline
from bot.domain.text import Code, clean, say
from bot.ports import Posting
from bot.slack.blocks import Message
from bot.slack.calls import LOST, QUIET, error_of, is_restricted
from bot.slack.comparing import Compared, comparison
from bot.slack.timeline import timeline

log = logging.getLogger(__name__)

# The bot is no member where it was asked, or the place is no channel of its own: the asker gets it directly.
_NOT_THERE = {"not_in_channel", "channel_not_found", "is_archived"}


@dataclass(frozen=True, slots=True)
class Attached:
    """A file for a thread; `alt` says what a picture shows."""

    name: str
    content: bytes
    title: str
    alt: str = ""


class Published(NamedTuple):
    """Where a message stands; `refused` is why that's not where it was asked for, by Slack's own name of the error."""

    standing: Posting
    refused: str = ""


class Publisher:
    """Posts findings. They are answers to a question: one that gets lost is asked for again."""

    def __init__(self, client: WebClient) -> None:
        self._client = client

    def publish(self, found: Comparison, channel: str, *, person: str, thread: str | None = None) -> Published:
        """Post a comparison: see `post`."""
        shown = comparison(found)
        return self.post(shown.message, lambda: _files(found, shown), channel, person=person, thread=thread)

    def publish_timeline(self, found: Timeline, channel: str, *, person: str) -> Published:
        """Post the timeline of Production with its picture: see `post`."""
        return self.post(timeline(found), lambda: [timeline_picture(found)], channel, person=person)

    def post(
        self,
        message: Message,
        files: Callable[[], Sequence[Attached]],
        channel: str,
        *,
        person: str,
        thread: str | None = None,
    ) -> Published:
        """Post a message in `channel` (in `thread`, where given), or directly to `person` where we can't.

        Its files are made when it stands, and go into its thread. Returns where it stands. Raises SlackUnreachable.
        """
        try:
            refused = ""
            try:
                standing = self._post(message, channel, thread)
            except SlackApiError as error:
                refused = error_of(error)
                if refused not in _NOT_THERE and not is_restricted(refused):
                    raise
                standing = self._post_directly(message, person)
            self._attach(files(), standing, thread)
        except (SlackApiError, *LOST) as error:
            why = error_of(error) if isinstance(error, SlackApiError) else "no answer"
            raise SlackUnreachable(say("Slack did not take it ({why}). Try again.", why=Code(why))) from error
        return Published(standing, refused)

    def _post(self, message: Message, channel: str, thread: str | None) -> Posting:
        answer = self._client.chat_postMessage(
            channel=channel, text=message.text, blocks=message.blocks, thread_ts=thread, **QUIET,
        )  # fmt: skip
        return Posting(str(answer["channel"]), str(answer["ts"]))

    def _post_directly(self, message: Message, person: str) -> Posting:
        """Post to a person; a server that takes no person for a channel gets the conversation's id."""
        try:
            return self._post(message, person, None)
        except SlackApiError as error:
            if error_of(error) != "channel_not_found":
                raise
        return self._post(message, str(self._client.conversations_open(users=person)["channel"]["id"]), None)

    def _attach(self, files: Sequence[Attached], standing: Posting, thread: str | None) -> None:
        """Put the files into the thread; where Slack takes none (no scope, no such method) the message goes alone."""
        place = Posting(standing.channel, thread or standing.ts)
        try:
            for file in files:
                upload(self._client, place, file)
        except (SlackApiError, *LOST) as error:
            log.warning("Slack takes no files (%s): the message goes without", error)
            self._client.chat_postMessage(channel=place.channel, thread_ts=place.ts, text=without_files(error), **QUIET)


def upload(client: WebClient, thread: Posting, file: Attached) -> str:
    """Put a file into a thread; return its id. Raises SlackApiError, and what a lost connection raises."""
    return _id_of(client.files_upload_v2(
        channel=thread.channel, thread_ts=thread.ts, content=file.content, filename=file.name, title=file.title,
        alt_txt=file.alt[:1000] or None,
    ))  # fmt: skip


def keep(client: WebClient, file: Attached) -> str:
    """Upload a picture without sharing it, for a block that shows it; return its id. Raises what `upload` raises."""
    return _id_of(client.files_upload_v2(
        content=file.content, filename=file.name, title=file.title, alt_txt=file.alt[:1000] or None
    ))  # fmt: skip


def _id_of(answer: SlackResponse) -> str:
    """Return the id of the one file that was uploaded; empty where Slack does not say."""
    files = answer.get("files") or [{}]
    return str(files[0].get("id") or "")


def _files(found: Comparison, shown: Compared) -> list[Attached]:
    name, files = file_name(found.model), []
    if found.metrics:
        from bot.slack.charts import chart_alt, comparison_chart

        files.append(Attached(f"{name}-metrics.png", comparison_chart(found), "Metrics by version", chart_alt(found)))
    if shown.is_cut:
        files.append(Attached(f"{name}-versions.csv", to_csv(found).encode(), "All versions and metrics"))
    return files


def timeline_picture(found: Timeline) -> Attached:
    """Return the picture of a timeline."""
    from bot.slack.timeline_chart import history_alt, history_chart

    picture = history_chart(found.model, found.drawn, found.now, found.window)
    alt = history_alt(found.model, found.drawn, found.now)
    return Attached(f"{file_name(found.model)}-production.png", picture, "Timeline of Production", alt)


def without_files(error: Exception) -> str:
    """Return what the thread says instead of the files, and what helps."""
    if isinstance(error, SlackApiError) and error_of(error) in _NOT_THERE:
        return "I am no member here, so I cannot attach the chart. To get it: `/invite @registrar`, and ask again."
    return "Slack took no files from me, so the chart is missing. Does the app have the scope `files:write`?"


def file_name(model: str) -> str:
    """Return a name from outside as a part of a file's name."""
    kept = "".join(char if char.isalnum() or char in "-_." else "_" for char in clean(model))
    return kept[:80] or "model"
