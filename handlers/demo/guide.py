"""Keep the channel's checklist up to date, and perform a step when someone clicks its button."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from slack_bolt import Ack, App
from slack_sdk.errors import SlackApiError

from bot.domain.audit.events import Event
from bot.domain.core.sentence import Mention, Sentence, say
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback_targets import rollback_targets, serving_periods
from bot.ports import MessageRef
from bot.registrar import Registrar
from bot.slack.core.blocks import Message, to_mrkdwn
from bot.slack.core.client import CONNECTION_ERRORS, POST_OPTIONS, error_code
from handlers.demo.actions import (
    HISTORY_COMMAND,
    ROLLBACK_COMMAND,
    NotAcknowledgedError,
    click_approve,
    promote_command,
    type_command,
)
from handlers.demo.checklist import BrokenVersion, DemoFacts, Step, build_checklist, obstacle, requester_id
from handlers.demo.checklist_message import BREAK_VERSION, DO_STEP, checklist_message, is_checklist
from handlers.demo.models import BETTER_VERSION, MODEL, MONITOR
from handlers.demo.welcome import CHANNEL
from localslack import RefusedError, Remote, WorkspaceMember

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5  # seconds between two checks of what happened
STEP_SECONDS = 20.0  # seconds for Registrar to do a step
HISTORY_TITLE = f"Production of `{MODEL}`"  # of the answer to HISTORY_COMMAND
MAX_TRANSITIONS = 400  # transitions of Production to search for rollback targets


class DemoGuide:
    """The checklist's message and its buttons. Handles clicks through `app`.

    The message is updated until the block ends. `break_version` is called with the version in Production that should
    become wrong, or None if there isn't one. `file` stores the most recently broken version.
    """

    def __init__(
        self, app: App, slack: Remote, registrar: Registrar, break_version: Callable[[int | None], None], file: Path
    ) -> None:
        self._client = app.client
        self._slack = slack
        self._registrar = registrar
        self._break_version = break_version
        self._file = file
        self._broken = _load_broken(file)
        self._events: list[Event] = []
        self._newest = 0  # the number of the newest event
        people = [person["id"] for person in slack.query("people")["people"]]
        self._direct_messages = {user: slack.query("direct", user=user)["channel"] for user in people}
        self._reader: str | None = None
        self._facts_lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checklist", daemon=True)
        self._clicks = ThreadPoolExecutor(1, "clicks")  # one by one, so that a second click finds the step done
        app.action(DO_STEP)(self._on_click)
        app.action(BREAK_VERSION)(self._on_click)

    def __enter__(self) -> DemoGuide:
        """Start updating the message. If the version in Production was broken before a restart, break it again."""
        broken = self.facts().broken_now
        self._break_version(broken.version if broken else None)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop after the current step."""
        self._stopping.set()
        self._thread.join()
        self._clicks.shutdown(cancel_futures=True)

    # -- what happened -------------------------------------------------------------------------------------------

    def facts(self) -> DemoFacts:
        """Return what has happened so far."""
        with self._facts_lock, self._registrar.context.ledger.read() as reader:
            while found := reader.audit_events(model=MODEL, after_number=self._newest):
                self._events += [link.event for link in found]
                self._newest = found[-1].number
            periods = serving_periods(reader.transitions(MODEL, stage=Stage.PRODUCTION, limit=MAX_TRANSITIONS))
            blocked = [block.version for block in reader.rollback_blocks(MODEL)]
            request = reader.open_request(MODEL, Stage.PRODUCTION)
            votes = reader.votes(request.id) if request else []
            current = periods[0] if periods and periods[0].until is None else None
            return DemoFacts(
                policy=self._registrar.context.policy,
                events=tuple(self._events),
                request=request if request and request.state is RequestState.PENDING else None,
                voters=[vote.voter.user for vote in votes],
                production=current.version if current else None,
                since=current.since if current else None,
                targets=rollback_targets(periods, blocked, reader.registry_snapshot(MODEL)),
                blocked=blocked,
                broken=self._broken,
                reader=self._find_reader(),
                is_monitored=any(
                    monitor.name == MONITOR and not monitor.is_paused for monitor in reader.monitors(MODEL)
                ),
            )

    def _find_reader(self) -> str | None:
        """Return the user ID of someone who has read the history; None if no one has.

        Reading it leaves no audit event, so this looks for the answer in people's direct messages.
        """
        if self._reader is None:
            answers = (
                (user, message["text"])
                for user, channel in self._direct_messages.items()
                for message in self._slack.query("messages", user=user, channel=channel)["messages"]
            )
            self._reader = next((user for user, text in answers if text == HISTORY_TITLE), None)
        return self._reader

    # -- the message ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            channel, ts, shown = self._find_or_post()
        except (SlackApiError, *CONNECTION_ERRORS, StopIteration) as error:
            log.warning("no checklist: can't post in %s (%s)", CHANNEL, error)  # someone archived or renamed it
            return
        while not self._stopping.wait(POLL_SECONDS):
            try:
                message = self._message()
                if message != shown:
                    self._client.chat_update(channel=channel, ts=ts, text=message.text, blocks=message.blocks)
                    shown = message
            except SlackApiError as error:
                if error_code(error) == "message_not_found":
                    return  # someone deleted it; the next start posts it again
                if error_code(error) != "ratelimited":
                    shown = message  # someone archived the channel, for example: the next change tries again
                    log.warning("can't update the checklist (%s)", error_code(error))
            except Exception:  # the only place: the next round tries again
                log.exception("can't update the checklist")

    def _find_or_post(self) -> tuple[str, str, Message | None]:
        """Return the channel and timestamp of the checklist's message, and the message itself if it's new."""
        channels = self._client.conversations_list()["channels"]
        channel = next(str(room["id"]) for room in channels if room["name"] == CHANNEL[1:])
        for page in self._client.conversations_history(channel=channel, limit=200):
            for earlier in page["messages"]:
                if is_checklist(earlier):
                    return channel, str(earlier["ts"]), None
        message = self._message()
        posted = self._client.chat_postMessage(
            channel=channel, text=message.text, blocks=message.blocks, **POST_OPTIONS
        )
        return channel, str(posted["ts"]), message

    def _message(self) -> Message:
        return checklist_message(build_checklist(self.facts()))

    # -- clicks --------------------------------------------------------------------------------------------------

    def _on_click(self, ack: Ack, body: dict[str, Any]) -> None:
        ack()
        step, user, channel = Step(body["actions"][0]["value"]), body["user"]["id"], body["channel"]["id"]
        self._clicks.submit(self._click, step, user, channel)

    def _click(self, step: Step, user: str, channel: str) -> None:
        try:
            answer = self._do(step, user)
            if answer:
                self._client.chat_postEphemeral(channel=channel, user=user, text=to_mrkdwn(answer))
        except Exception:  # the only place: a click must not end the thread
            log.exception("can't do %s", step.value)

    def _do(self, step: Step, user: str) -> Sentence | None:
        """Perform a step now; return None if it worked, or else why it can't be done."""
        facts = self.facts()
        if blocker := obstacle(step, facts):
            return blocker
        if step is Step.BREAK:
            self._break(facts, user)
            return None
        person = self._person_for(step, facts, user)
        try:
            self._act(step, person, facts)
        except (RefusedError, NotAcknowledgedError) as error:
            return say("That didn't work for {who}: {why}.", who=Mention(person.id), why=str(error))
        return self._wait_until_done(step, facts, person)

    def _break(self, facts: DemoFacts, user: str) -> None:
        assert facts.production is not None
        self._broken = BrokenVersion(facts.production, self._registrar.context.clock.now(), user)
        self._file.write_text(json.dumps(asdict(self._broken) | {"at": self._broken.at.isoformat()}))
        self._break_version(facts.production)

    def _person_for(self, step: Step, facts: DemoFacts, user: str) -> WorkspaceMember:
        """Return the person who performs a step that `user` clicked.

        Alice makes the request, and the requester tries to approve it. Bob approves and rolls back, or Carol does if
        Bob made the request or has already voted. `user` reads the history.
        """
        requester = requester_id(facts)
        if step is Step.REQUEST:
            return self._slack.person("alice")
        if step is Step.HISTORY:
            return self._slack.person(user)
        if step is Step.REFUSAL and requester:
            return self._slack.person(requester)
        is_taken = "U0BOB" in {requester, *facts.voters}  # the policy can require two approvals
        return self._slack.person("carol" if is_taken else "bob")

    def _act(self, step: Step, person: WorkspaceMember, facts: DemoFacts) -> None:
        if step is Step.REQUEST:
            type_command(person, promote_command(BETTER_VERSION, "better f1"))
        elif step is Step.ROLLBACK:
            type_command(person, ROLLBACK_COMMAND)
        elif step is Step.HISTORY:
            type_command(person, HISTORY_COMMAND)
        elif facts.request:
            click_approve(person, self._card(facts.request.id))

    def _card(self, request_id: str) -> dict[str, Any]:
        """Wait for a request's card, since messages are posted a second apart, and return it. Raises RefusedError."""

        def find() -> MessageRef | None:
            with self._registrar.context.ledger.read() as reader:
                return reader.message_ref(request_id)

        try:
            card = self._slack.wait_for(find, STEP_SECONDS)
        except TimeoutError as error:
            raise RefusedError("the request's card isn't in the channel yet") from error
        assert card is not None
        return self._slack.person("bob").thread({"channel": card.channel, "ts": card.ts})[0]

    def _wait_until_done(self, step: Step, before: DemoFacts, person: WorkspaceMember) -> Sentence | None:
        """Wait until Registrar finishes a step or counts an approval; otherwise, return where to find its answer."""
        until = time.monotonic() + STEP_SECONDS
        while not self._stopping.is_set() and time.monotonic() < until:
            facts = self.facts()
            if step in build_checklist(facts).done or facts.voters != before.voters:
                return None
            self._stopping.wait(POLL_SECONDS / 2)
        return say("It isn't done yet. Switch to {who} to see Registrar's answer.", who=Mention(person.id))


def _load_broken(file: Path) -> BrokenVersion | None:
    """Return the version that was broken before a restart; None if there isn't one."""
    try:
        fields = json.loads(file.read_text())
        return BrokenVersion(int(fields["version"]), datetime.fromisoformat(fields["at"]), str(fields["by"]))
    except (OSError, ValueError, KeyError):
        return None
