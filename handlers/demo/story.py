"""The demo's story, played over the same wire that people use."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from handlers.demo.models import BAD_VERSION, BETTER_VERSION, MODEL, MONITOR
from handlers.demo.welcome import CHANNEL
from localslack import ActionResult, RefusedError, Remote, WorkspaceMember

JsonObject = dict[str, Any]
STEP_TIMEOUT = 60.0  # seconds for each step; it takes far less than one, on a busy machine a few
MONITOR_TIMEOUT = 240.0  # seconds for the result of monitoring: some checks, ten seconds apart
POLL_SECONDS = 3.0  # seconds between two checks of the monitor


class StoryError(Exception):
    """A step did not lead to what it should; the message names the step and what was waited for."""


class DemoStory:
    """Alice requests a promotion, is blocked by a gate; Bob approves. The next version is bad, and is rolled back.

    `narrate` gets one line after the other.
    """

    def __init__(
        self,
        slack: Remote,
        narrate: Callable[[str], None],
        timeout: float = STEP_TIMEOUT,
        monitor_timeout: float = MONITOR_TIMEOUT,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._alice = slack.person("alice")
        self._bob = slack.person("bob")
        self._narrate = narrate
        self._timeout, self._monitor_timeout, self._poll_seconds = timeout, monitor_timeout, poll_seconds
        self._names = {person["id"]: person["real_name"].split()[0] for person in slack.query("people")["people"]}

    def play(self) -> None:
        """Play all of it. Raises StoryError at the first step that fails."""
        steps: dict[str, Callable[[], None]] = {
            "Alice asks": self._alice_requests,
            "Registrar refuses Alice's own approval": self._alice_is_refused,
            "Bob approves": self._bob_approves,
            "the thread tells it": self._thread_reports_result,
            "Alice looks at the model": self._alice_shows_the_model,
            "Alice looks at the monitor": self._alice_checks_the_monitor,
            "Alice asks for the next version": self._alice_requests_again,
            "Bob approves that one": self._bob_approves_again,
            "the live accuracy falls": self._alert_is_posted,
            "Registrar rolls back": self._registrar_rolls_back,
            "Bob looks at the history": self._bob_reads_the_history,
            "Bob looks at the monitor": self._bob_checks_the_monitor,
        }
        for name, step in steps.items():
            try:
                step()
            except (TimeoutError, RefusedError, _NotAcknowledgedError) as error:
                raise StoryError(f"The story broke where {name}: {error}") from error

    def _alice_requests(self) -> None:
        reason = "better f1"
        self._type(self._alice, f'/model promote {MODEL} {BETTER_VERSION} production --reason "{reason}"')
        self._show("A card for everybody", self._wait_for_card("Approve"))

    def _alice_is_refused(self) -> None:
        self._narrate("Alice presses Approve herself.")
        _require_acknowledged(self._alice.clicks(self._wait_for_card("Approve"), "Approve"))
        self._show("Registrar refuses her", self._wait_for_answer(self._alice, "have to decide", "has to decide"))

    def _bob_approves(self) -> None:
        self._narrate("Bob presses Approve, and confirms.")
        _require_acknowledged(self._bob.clicks(self._wait_for_card("Approve"), "Approve"))
        self._show("The same card now", self._wait_for_card("is in Production"))

    def _thread_reports_result(self) -> None:
        card = self._wait_for_card("is in Production")

        def told() -> list[JsonObject]:
            answers = self._bob.thread(card)[1:]
            return answers if any("Done" in self._plain_text(message) for message in answers) else []

        for answer in self._bob.slack.wait_for(told, self._timeout):
            self._show("Its thread", answer)

    def _alice_shows_the_model(self) -> None:
        self._type(self._alice, f"/model show {MODEL}")
        self._show("Only she sees", self._wait_for_answer(self._alice, f"v{BETTER_VERSION}  ·  Production"))

    # -- the version that fails in Production --------------------------------------------------------------------

    def _alice_checks_the_monitor(self) -> None:
        self._narrate(f"What v{BETTER_VERSION} does in life is measured now. Alice looks every few seconds:")
        self._wait_for_healthy_monitor(self._alice)

    def _wait_for_healthy_monitor(self, person: WorkspaceMember) -> None:
        """Look at the monitor until it has measured the good version."""
        show_command, until = f"/model monitor show {MODEL} {MONITOR}", time.monotonic() + self._monitor_timeout
        self._narrate(f"{person.name.title()} types in {CHANNEL}: {show_command}")
        while True:
            _require_acknowledged(person.types(CHANNEL, show_command))
            answer = self._wait_for_answer(person, "Last check")
            plain = self._plain_text(answer)
            if f"Version: v{BETTER_VERSION}" in plain and "🟢" in plain.splitlines()[0]:
                return self._show("The answer", answer, max_lines=7)
            if time.monotonic() > until:
                raise TimeoutError(f"the monitor did not measure v{BETTER_VERSION} as well: {plain.splitlines()[0]}")
            time.sleep(self._poll_seconds)

    def _alice_requests_again(self) -> None:
        reason = "f1 0.96 instead of 0.77!"
        self._type(self._alice, f'/model promote {MODEL} {BAD_VERSION} production --reason "{reason}"')
        self._show("A card for everybody", self._wait_for_card(f"Promote {MODEL} v{BAD_VERSION}"))

    def _bob_approves_again(self) -> None:
        self._narrate("Every gate is passed. Bob presses Approve, and confirms.")
        _require_acknowledged(self._bob.clicks(self._wait_for_card(f"Promote {MODEL} v{BAD_VERSION}"), "Approve"))
        self._show("The same card now", self._wait_for_card(f"v{BAD_VERSION} is in Production"), max_lines=1)

    def _alert_is_posted(self) -> None:
        self._narrate(f"v{BAD_VERSION} serves real customers now, and was trained on a column that tells the answer.")
        self._show(
            "Some checks later, for everybody",
            self._wait_for_card(f"{MODEL} v{BAD_VERSION}: {MONITOR} failed", self._monitor_timeout),
        )

    def _registrar_rolls_back(self) -> None:
        card = self._wait_for_card(f"{MODEL}: restored, v{BETTER_VERSION} serves", self._monitor_timeout)
        self._show("The same message now", card)

        def told() -> list[JsonObject]:
            answers = self._bob.thread(card)[1:]
            return answers if any("Restored" in self._plain_text(message) for message in answers) else []

        for answer in self._bob.slack.wait_for(told, self._timeout):
            self._show("Its thread", answer)

    def _bob_reads_the_history(self) -> None:
        self._type(self._bob, f"/model history {MODEL}")
        self._show("Only he sees", self._wait_for_answer(self._bob, "serves now"))

    def _bob_checks_the_monitor(self) -> None:
        self._narrate(f"With its next check the monitor knows v{BETTER_VERSION} again. Bob looks until it does:")
        self._wait_for_healthy_monitor(self._bob)

    # -- reading and clicking ------------------------------------------------------------------------------------

    def _type(self, person: WorkspaceMember, text: str) -> None:
        self._narrate(f"{person.name.title()} types in {CHANNEL}: {text}")
        _require_acknowledged(person.types(CHANNEL, text))

    def _wait_for_card(self, text: str, timeout: float | None = None) -> JsonObject:
        """Wait for the newest card that contains this text."""
        return self._bob.waits_for(
            CHANNEL, lambda m: _has_header(m) and text in self._plain_text(m), timeout or self._timeout
        )

    def _wait_for_answer(self, person: WorkspaceMember, *any_of: str) -> JsonObject:
        """Wait for an answer that only this person sees."""
        return person.waits_for(
            CHANNEL,
            lambda m: m["is_ephemeral"] and any(words in self._plain_text(m) for words in any_of),
            self._timeout,
        )

    def _show(self, heading: str, message: JsonObject, max_lines: int | None = None) -> None:
        """Tell a message, or its first lines."""
        first, *rest = self._plain_text(message).splitlines()[:max_lines] or [_picture_text(message)]
        if not rest:
            self._narrate(f"  {heading}: {first}")
            return
        for line in (f"{heading}:", *(f"  {text}" for text in (first, *rest))):
            self._narrate(f"  {line}")

    def _plain_text(self, message: JsonObject) -> str:
        """Return a message's text without its formatting, one line for each part."""
        texts = "\n".join(_texts(message.get("blocks"))) or message["text"]
        return _mrkdwn_to_text(texts, self._names)


class _NotAcknowledgedError(Exception):
    """The app did not acknowledge."""


def _require_acknowledged(outcome: ActionResult) -> None:
    if not outcome.acked:
        raise _NotAcknowledgedError(f"Registrar did not answer ({outcome.error})")


def _has_header(message: Mapping[str, Any]) -> bool:
    return any(block["type"] == "header" for block in message.get("blocks", ()))


def _picture_text(message: Mapping[str, Any]) -> str:
    """Return what a message without words shows."""
    return "; ".join(f"(picture) {file.get('alt_txt') or file.get('title')}" for file in message.get("files", ()))


def _texts(block: Any) -> Iterator[str]:
    """Yield every text in blocks, as one reads them; the buttons of a row share a line, and questions are left out."""
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
    """Return mrkdwn as plain words."""
    text = re.sub(r"<@(\w+)>", lambda mention: names.get(mention[1], mention[1]), text)
    text = re.sub(r"<!date\^[^|>]*\|([^>]*)>", r"\1", text)
    text = re.sub(r"^\*([^*\n]+)\* (?=\S)", r"\1: ", text, flags=re.MULTILINE)
    text = re.sub(r"[*`]|^> ", "", text, flags=re.MULTILINE)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
