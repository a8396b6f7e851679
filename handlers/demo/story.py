"""The demo's story, played through the same interface that people use."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from subprocess import CompletedProcess
from typing import Any

from handlers.demo.actions import (
    HISTORY_COMMAND,
    NOT_ISSUED,
    VERIFY_COMMAND,
    NotAcknowledgedError,
    click_approve,
    promote_command,
    type_command,
)
from handlers.demo.models import BAD_VERSION, BETTER_VERSION, MODEL, MONITOR
from handlers.demo.welcome import CHANNEL
from localslack import RefusedError, Remote, WorkspaceMember

JsonObject = dict[str, Any]
Steps = list[tuple[str, list[Callable[[], object]]]]  # each with its name
STEP_TIMEOUT = 60.0  # seconds for each step; usually far under one, a few on a busy machine
MONITOR_TIMEOUT = 240.0  # seconds for a monitor's result: several checks, ten seconds apart
POLL_SECONDS = 3.0  # seconds between two checks of the monitor


class StoryError(Exception):
    """A step failed; the message names the step and what was expected."""


class DemoStory:
    """Alice requests a promotion but can't approve it; Bob does. The next version is bad and is rolled back.

    `narrate` is called with one line at a time. `verify` runs VERIFY_COMMAND; if it's None, the files aren't verified.
    """

    def __init__(
        self,
        slack: Remote,
        narrate: Callable[[str], None],
        verify: Callable[[], CompletedProcess[str]] | None = None,
        timeout: float = STEP_TIMEOUT,
        monitor_timeout: float = MONITOR_TIMEOUT,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._alice = slack.person("alice")
        self._bob = slack.person("bob")
        self._narrate, self._verify = narrate, verify
        self._timeout, self._monitor_timeout, self._poll_seconds = timeout, monitor_timeout, poll_seconds
        self._names = {person["id"]: person["real_name"].split()[0] for person in slack.query("people")["people"]}

    def play(self) -> None:
        """Play the whole story. Raises StoryError at the first step that fails."""
        for name, actions in [*self._promotion(), *self._second_promotion(), *self._rollback()]:
            try:
                for act in actions:
                    act()
            except (TimeoutError, RefusedError, NotAcknowledgedError) as error:
                raise StoryError(f"The story failed at “{name}”: {error}") from error

    def _promotion(self) -> Steps:
        """Return the steps that promote a good version to Production."""
        alice, bob = self._alice, self._bob
        typed = promote_command(BETTER_VERSION, "better f1")
        return [
            (
                "Alice requests a promotion",
                [lambda: self._type(alice, typed), lambda: self._show_card("A card for everyone", "Approve")],
            ),
            (
                "Registrar refuses Alice's own approval",
                [
                    lambda: self._approve(alice, "Approve", "Alice clicks Approve herself."),
                    lambda: self._show_answer(alice, "Registrar refuses her", "have to decide", "has to decide"),
                ],
            ),
            (
                "Bob approves",
                [
                    lambda: self._approve(bob, "Approve", "Bob clicks Approve and confirms."),
                    lambda: self._show_card("The same card now", "✓ Verified in"),
                ],
            ),
            ("Alice verifies the files", [self._verify_files]),
            (
                "Alice checks the model",
                [
                    lambda: self._type(alice, f"/model show {MODEL}"),
                    lambda: self._show_answer(alice, "Only she sees", f"v{BETTER_VERSION}  ·  Production"),
                ],
            ),
        ]

    def _verify_files(self) -> None:
        """Verify the approved files. Wait for their passport first, since they're hashed in the background."""
        if self._verify is None:
            return
        self._narrate(f"Are v{BETTER_VERSION}'s files the approved ones? Alice types in a terminal: {VERIFY_COMMAND}")
        until = time.monotonic() + self._timeout
        while (verdict := self._verify()).returncode == NOT_ISSUED and time.monotonic() < until:
            time.sleep(self._poll_seconds)
        if verdict.returncode:
            raise RefusedError(verdict.stderr.strip())
        self._narrate(f"  {' '.join(verdict.stdout.split())}")

    def _second_promotion(self) -> Steps:
        """Return the steps that promote a version that's worse than it looks."""
        alice, bob, new_card = self._alice, self._bob, f"Promote {MODEL} v{BAD_VERSION}"
        typed = promote_command(BAD_VERSION, "f1 0.96 instead of 0.77!")
        measured = f"v{BETTER_VERSION} is being monitored now. Alice checks every few seconds:"
        return [
            (
                "Alice checks the monitor",
                [lambda: self._narrate(measured), lambda: self._wait_for_healthy_monitor(alice)],
            ),
            (
                "Alice requests the next version",
                [lambda: self._type(alice, typed), lambda: self._show_card("A card for everyone", new_card)],
            ),
            (
                "Bob approves that one",
                [
                    lambda: self._approve(bob, new_card, "Every gate passes. Bob clicks Approve and confirms."),
                    lambda: self._show_card("The same card now", f"v{BAD_VERSION} is in Production", max_lines=1),
                ],
            ),
        ]

    def _rollback(self) -> Steps:
        """Return the steps that roll back to the good version."""
        bob, restored = self._bob, f"{MODEL}: restored to v{BETTER_VERSION}"
        failing = f"v{BAD_VERSION} now serves real customers. It was trained on a column that leaks the answer."
        failed = f"{MODEL} v{BAD_VERSION}: {MONITOR} failed"
        knows = f"The monitor's next check measures v{BETTER_VERSION} again. Bob waits for it:"
        return [
            (
                "the live accuracy falls",
                [
                    lambda: self._narrate(failing),
                    lambda: self._show_card("A few checks later, for everyone", failed, self._monitor_timeout),
                ],
            ),
            (
                "Registrar rolls back",
                [
                    lambda: self._show_card("The same message now", restored, self._monitor_timeout),
                    lambda: self._show_thread(restored, "Restored", self._monitor_timeout),
                ],
            ),
            (
                "Bob checks the history",
                [
                    lambda: self._type(bob, HISTORY_COMMAND),
                    lambda: self._show_answer(bob, "Only he sees", "serving now"),
                ],
            ),
            ("Bob checks the monitor", [lambda: self._narrate(knows), lambda: self._wait_for_healthy_monitor(bob)]),
        ]

    def _wait_for_healthy_monitor(self, person: WorkspaceMember) -> None:
        """Check the monitor repeatedly until it reports the good version as healthy."""
        show_command, until = f"/model monitor show {MODEL} {MONITOR}", time.monotonic() + self._monitor_timeout
        self._narrate(f"{person.name.title()} types in {CHANNEL}: {show_command}")
        while True:
            type_command(person, show_command)
            answer = self._wait_for_answer(person, "Last check")
            plain = self._plain_text(answer)
            if f"Version: v{BETTER_VERSION}" in plain and "🟢" in plain.splitlines()[0]:
                return self._show("The answer", answer, max_lines=7)
            if time.monotonic() > until:
                raise TimeoutError(f"the monitor didn't report v{BETTER_VERSION} as healthy: {plain.splitlines()[0]}")
            time.sleep(self._poll_seconds)

    # -- reading and clicking ------------------------------------------------------------------------------------

    def _type(self, person: WorkspaceMember, text: str) -> None:
        self._narrate(f"{person.name.title()} types in {CHANNEL}: {text}")
        type_command(person, text)

    def _approve(self, person: WorkspaceMember, card: str, narration: str) -> None:
        self._narrate(narration)
        click_approve(person, self._wait_for_card(card))

    def _show_card(self, heading: str, text: str, timeout: float | None = None, max_lines: int | None = None) -> None:
        self._show(heading, self._wait_for_card(text, timeout), max_lines)

    def _show_answer(self, person: WorkspaceMember, heading: str, *any_of: str) -> None:
        self._show(heading, self._wait_for_answer(person, *any_of))

    def _show_thread(self, card: str, until: str, timeout: float) -> None:
        """Narrate a card's thread once it contains the text `until`."""
        found = self._wait_for_card(card, timeout)

        def told() -> list[JsonObject]:
            answers = self._bob.thread(found)[1:]
            return answers if any(until in self._plain_text(message) for message in answers) else []

        for answer in self._bob.slack.wait_for(told, self._timeout):
            self._show("Its thread", answer)

    def _wait_for_card(self, text: str, timeout: float | None = None) -> JsonObject:
        """Wait for a card that contains this text, and return the newest one."""
        return self._bob.waits_for(
            CHANNEL,
            lambda m: any(block["type"] == "header" for block in m.get("blocks", ())) and text in self._plain_text(m),
            timeout or self._timeout,
        )

    def _wait_for_answer(self, person: WorkspaceMember, *any_of: str) -> JsonObject:
        """Wait for an answer that only this person sees and that contains one of these texts; return the newest one."""
        return person.waits_for(
            CHANNEL,
            lambda m: m["is_ephemeral"] and any(words in self._plain_text(m) for words in any_of),
            self._timeout,
        )

    def _show(self, heading: str, message: JsonObject, max_lines: int | None = None) -> None:
        """Narrate a message, or only its first `max_lines` lines."""
        pictures = (f"(picture) {file.get('alt_txt') or file.get('title')}" for file in message.get("files", ()))
        lines = self._plain_text(message).splitlines()[:max_lines] or ["; ".join(pictures)]
        told = [f"{heading}: {lines[0]}"] if len(lines) == 1 else [f"{heading}:", *(f"  {text}" for text in lines)]
        for line in told:
            self._narrate(f"  {line}")

    def _plain_text(self, message: JsonObject) -> str:
        """Return a message's text without formatting, one line for each part."""
        texts = "\n".join(_texts(message.get("blocks"))) or message["text"]
        return _mrkdwn_to_text(texts, self._names)


def _texts(block: Any) -> Iterator[str]:
    """Yield every text in blocks, in reading order. A row's buttons share a line; confirmation dialogs are omitted."""
    if isinstance(block, list):
        for one in block:
            yield from _texts(one)
    elif isinstance(block, dict):
        if block.get("type") == "actions":
            yield "  ".join(f"[{one['text']['text']}]" for one in block["elements"])
        elif isinstance(block.get("text"), str):
            yield block["text"]
        else:
            yield from _texts([block[name] for name in ("text", "elements") if name in block])
            yield from (text.replace("\n", " ") for text in _texts(block.get("fields")))


def _mrkdwn_to_text(text: str, names: Mapping[str, str]) -> str:
    """Return mrkdwn as plain text."""
    text = re.sub(r"<@(\w+)>", lambda mention: names.get(mention[1], mention[1]), text)
    text = re.sub(r"<(?:!date\^|https?:)[^|>]*\|([^>]*)>", r"\1", text)
    text = re.sub(r"^\*([^*\n]+)\* (?=\S)", r"\1: ", text, flags=re.MULTILINE)
    text = re.sub(r"[*`]|^> ", "", text, flags=re.MULTILINE)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
