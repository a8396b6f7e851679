"""Findings where the team talks: the message, and in its thread the picture, and the whole as CSV where it was cut."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay

from bot.domain.core.errors import SlackUnreachable
from bot.domain.core.sentence import Code, Say, clean, say
from bot.domain.registry.comparison import Comparison, to_csv
from bot.domain.rollbacks.history import Timeline
from bot.ports import Outcome, Posting
from bot.slack.core.api_errors import LOST, QUIET, error_of, is_restricted, is_too_many, lacking, sort_out
from bot.slack.core.blocks import Message
from bot.slack.core.mrkdwn import code
from bot.slack.registry.comparison import Compared, comparison
from bot.slack.rollbacks.history import timeline

log = logging.getLogger(__name__)

TellOfScopes = Callable[[Iterable[str]], object]  # tells admins which scopes the app is missing, if any

# The bot is no member where it was asked, or the place is no channel of its own: the asker gets it directly.
_NOT_THERE = {"not_in_channel", "channel_not_found", "is_archived"}
PATIENCE = 5.0  # seconds that an answer is tried again where Slack says "too many": another message can be in its turn


@dataclass(frozen=True, slots=True)
class Attached:
    """A file for a thread; `alt` says what a picture shows.

    `missing` is what to tell whoever asked if Slack refuses a file that its message promises.
    """

    name: str
    content: bytes
    title: str
    alt: str = ""
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A file in Slack: its id, and its link for people; empty if Slack doesn't say."""

    id: str
    link: str


class Published(NamedTuple):
    """Where a message was posted; `refused` is Slack's error code if that's not where it was asked for.

    `missing` is what to tell whoever asked about files that Slack refused.
    """

    standing: Posting
    refused: str = ""
    missing: str = ""


class Publisher:
    """Posts findings. They answer a question: if one gets lost, people ask again.

    `tell_of_scopes` is called with the scopes that their files would need.
    """

    def __init__(self, client: WebClient, tell_of_scopes: TellOfScopes) -> None:
        self._client = client
        self._tell_of_scopes = tell_of_scopes
        self._invitations = Invitations()

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
            missing = self._attach(files(), Posting(standing.channel, thread or standing.ts))
        except (SlackApiError, *LOST) as error:
            raise SlackUnreachable(_not_taken(error)) from error
        return Published(standing, refused, missing)

    def _post(self, message: Message, channel: str, thread: str | None) -> Posting:
        tries = Retrying(
            retry=retry_if_exception(is_too_many), stop=stop_before_delay(PATIENCE), wait=_named_wait, reraise=True
        )
        answer = tries(
            self._client.chat_postMessage,
            channel=channel,
            text=message.text,
            blocks=message.blocks,
            thread_ts=thread,
            **QUIET,
        )
        return Posting(str(answer["channel"]), str(answer["ts"]))

    def _post_directly(self, message: Message, person: str) -> Posting:
        """Post to a person; if the server doesn't accept a person as a channel, use the conversation's id."""
        try:
            return self._post(message, person, None)
        except SlackApiError as error:
            if error_of(error) != "channel_not_found":
                raise
        return self._post(message, str(self._client.conversations_open(users=person)["channel"]["id"]), None)

    def _attach(self, files: Sequence[Attached], thread: Posting) -> str:
        """Put the files into the thread; if Slack refuses one, return what to say about that, if anything."""
        left = list(files)
        try:
            while left:
                upload(self._client, thread, left[0])
                left.pop(0)
        except (SlackApiError, *LOST) as error:
            log.warning("Slack takes no files (%s): the message goes without", error)
            self._tell_of_scopes(lacking(error))
            return self._invitations.after(error, thread.channel) or " ".join(file.missing for file in left).strip()
        return ""


class Invitations:
    """Asks, once for each channel, to be invited to where we can't attach files."""

    def __init__(self) -> None:
        self._asked: set[str] = set()

    def after(self, error: Exception, channel: str) -> str:
        """Return what to say after an upload failed; empty if we're a member or have asked before."""
        if not isinstance(error, SlackApiError) or error_of(error) not in _NOT_THERE or channel in self._asked:
            return ""
        self._asked.add(channel)
        return "I'm not in this channel, so I can't attach charts and files. To get them, type `/invite @registrar`"


def upload(client: WebClient, where: Posting, file: Attached, comment: str | None = None) -> Uploaded:
    """Put a file into a thread, or a conversation. Raises SlackApiError, and what a lost connection raises."""
    answer = client.files_upload_v2(
        channel=where.channel,
        thread_ts=where.ts or None,
        content=file.content,
        filename=file.name,
        title=file.title,
        alt_txt=file.alt[:1000] or None,
        initial_comment=comment,
    )
    [uploaded, *_] = answer.get("files") or [{}]
    return Uploaded(str(uploaded.get("id") or ""), str(uploaded.get("permalink") or ""))


def _named_wait(state: RetryCallState) -> float:
    """Return how many seconds Slack wants us to wait."""
    error = state.outcome.exception() if state.outcome else None
    wait = sort_out(error).wait if isinstance(error, SlackApiError) else None
    return wait.total_seconds() if wait else 0.0


def _not_taken(error: Exception) -> Say:
    """Return what whoever asked hears; what Slack refuses for good isn't worth another try."""
    is_refused = isinstance(error, SlackApiError) and sort_out(error).outcome is Outcome.NEVER
    why = error_of(error) if isinstance(error, SlackApiError) else "no answer"
    return say("Slack didn't accept it ({why}).{again}", why=Code(why), again="" if is_refused else " Try again.")


def _files(found: Comparison, shown: Compared) -> list[Attached]:
    name, files = file_name(found.model), []
    if found.metrics:
        from bot.slack.registry.comparison_chart import chart_alt, comparison_chart

        files.append(Attached(f"{name}-metrics.png", comparison_chart(found), "Metrics by version", chart_alt(found)))
    if shown.is_cut:
        fewer = code(f"/model compare {found.model} {found.versions[-1]} …", 300)
        missing = f"Slack refused the CSV. To see other versions, name them: {fewer}"
        files.append(Attached(f"{name}-versions.csv", to_csv(found).encode(), "All versions and metrics", "", missing))
    return files


def timeline_picture(found: Timeline) -> Attached:
    """Return the picture of a timeline."""
    from bot.slack.rollbacks.history_chart import history_alt, history_chart

    picture = history_chart(found.model, found.drawn, found.now, found.window)
    alt = history_alt(found.model, found.drawn, found.now)
    return Attached(f"{file_name(found.model)}-production.png", picture, "Timeline of Production", alt)


def file_name(model: str) -> str:
    """Return a name from outside as a part of a file's name."""
    kept = "".join(char if char.isalnum() or char in "-_." else "_" for char in clean(model))
    return kept[:80] or "model"
