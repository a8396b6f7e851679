"""The demo's story, played over the same wire that people use."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from handlers.demo.models import BAD, BETTER, MODEL, MONITOR
from handlers.demo.welcome import CHANNEL
from localslack import ActionResult, RefusedError, Remote, WorkspaceMember

JSON = dict[str, Any]
PATIENCE = 60.0  # seconds for each thing that has to happen; it takes far less than one, on a busy machine some
WATCHED = 240.0  # seconds for what comes of measuring: some checks, ten seconds apart
LOOK_AGAIN = 3.0  # seconds between two looks at the monitor


class StoryError(Exception):
    """A step did not lead to what it should; the message names the step and what was waited for."""


class Story:
    """Alice asks, is refused, Bob approves, and everybody sees it. The next version is bad, and is rolled back.

    `tell` gets one line after the other.
    """

    def __init__(
        self,
        slack: Remote,
        tell: Callable[[str], None],
        patience: float = PATIENCE,
        watched: float = WATCHED,
        look_again: float = LOOK_AGAIN,
    ) -> None:
        self._alice = slack.person("alice")
        self._bob = slack.person("bob")
        self._tell = tell
        self._patience, self._watched, self._look_again = patience, watched, look_again
        self._names = {one["id"]: one["real_name"].split()[0] for one in slack.query("people")["people"]}

    def play(self) -> None:
        """Play all of it. Raises StoryError at the first step that fails."""
        steps: dict[str, Callable[[], None]] = {
            "Alice asks": self._alice_asks,
            "Registrar refuses Alice's own approval": self._alice_is_refused,
            "Bob approves": self._bob_approves,
            "the thread tells it": self._the_thread_tells,
            "Alice looks at the model": self._alice_looks,
            "Alice looks at the monitor": self._alice_sees_that_it_is_well,
            "Alice asks for the next version": self._alice_asks_again,
            "Bob approves that one": self._bob_approves_again,
            "the live accuracy falls": self._the_alert_comes,
            "Registrar rolls back": self._it_is_restored,
            "Bob looks at the history": self._bob_reads_the_history,
            "Bob looks at the monitor": self._bob_looks_at_the_monitor,
        }
        for name, step in steps.items():
            try:
                step()
            except (TimeoutError, RefusedError, _SilenceError) as error:
                raise StoryError(f"The story broke where {name}: {error}") from error

    def _alice_asks(self) -> None:
        reason = "better f1"
        self._types(self._alice, f'/model promote {MODEL} {BETTER} production --reason "{reason}"')
        self._show("A card for everybody", self._card("Approve"))

    def _alice_is_refused(self) -> None:
        self._tell("Alice presses Approve herself.")
        _check(self._alice.clicks(self._card("Approve"), "Approve"))
        self._show("Registrar refuses her", self._answer(self._alice, "have to decide", "has to decide"))

    def _bob_approves(self) -> None:
        self._tell("Bob presses Approve, and confirms.")
        _check(self._bob.clicks(self._card("Approve"), "Approve"))
        self._show("The same card now", self._card("is in Production"))

    def _the_thread_tells(self) -> None:
        card = self._card("is in Production")

        def told() -> list[JSON]:
            answers = self._bob.thread(card)[1:]
            return answers if any("Done" in self._plain(one) for one in answers) else []

        for answer in self._bob.slack.wait_for(told, self._patience):
            self._show("Its thread", answer)

    def _alice_looks(self) -> None:
        self._types(self._alice, f"/model show {MODEL}")
        self._show("Only she sees", self._answer(self._alice, f"v{BETTER}  ·  Production"))

    # -- the version that is bad in life ------------------------------------------------------------------------

    def _alice_sees_that_it_is_well(self) -> None:
        self._tell(f"What v{BETTER} does in life is measured now. Alice looks every few seconds:")
        self._sees_that_it_is_well(self._alice)

    def _sees_that_it_is_well(self, person: WorkspaceMember) -> None:
        """Look at the monitor until it has measured the good version."""
        look, until = f"/model monitor show {MODEL} {MONITOR}", time.monotonic() + self._watched
        self._tell(f"{person.name.title()} types in {CHANNEL}: {look}")
        while True:
            _check(person.types(CHANNEL, look))
            answer = self._answer(person, "Last check")
            plain = self._plain(answer)
            if f"Version: v{BETTER}" in plain and "🟢" in plain.splitlines()[0]:
                return self._show("The answer", answer, most=7)
            if time.monotonic() > until:
                raise TimeoutError(f"the monitor did not measure v{BETTER} as well: {plain.splitlines()[0]}")
            time.sleep(self._look_again)

    def _alice_asks_again(self) -> None:
        reason = "f1 0.96 instead of 0.77!"
        self._types(self._alice, f'/model promote {MODEL} {BAD} production --reason "{reason}"')
        self._show("A card for everybody", self._card(f"Promote {MODEL} v{BAD}"))

    def _bob_approves_again(self) -> None:
        self._tell("Every gate is passed. Bob presses Approve, and confirms.")
        _check(self._bob.clicks(self._card(f"Promote {MODEL} v{BAD}"), "Approve"))
        self._show("The same card now", self._card(f"v{BAD} is in Production"), most=1)

    def _the_alert_comes(self) -> None:
        self._tell(f"v{BAD} serves real customers now, and was trained on a column that tells the answer.")
        self._show("Some checks later, for everybody", self._card(f"{MODEL} v{BAD}: {MONITOR} failed", self._watched))

    def _it_is_restored(self) -> None:
        card = self._card(f"{MODEL}: restored, v{BETTER} serves", self._watched)
        self._show("The same message now", card)

        def told() -> list[JSON]:
            answers = self._bob.thread(card)[1:]
            return answers if any("Restored" in self._plain(one) for one in answers) else []

        for answer in self._bob.slack.wait_for(told, self._patience):
            self._show("Its thread", answer)

    def _bob_reads_the_history(self) -> None:
        self._types(self._bob, f"/model history {MODEL}")
        self._show("Only he sees", self._answer(self._bob, "serves now"))

    def _bob_looks_at_the_monitor(self) -> None:
        self._tell(f"With its next check the monitor knows v{BETTER} again. Bob looks until it does:")
        self._sees_that_it_is_well(self._bob)

    # -- hands and eyes -----------------------------------------------------------------------------------------

    def _types(self, person: WorkspaceMember, text: str) -> None:
        self._tell(f"{person.name.title()} types in {CHANNEL}: {text}")
        _check(person.types(CHANNEL, text))

    def _card(self, holds: str, patience: float | None = None) -> JSON:
        """Wait for the newest card that holds these words."""
        return self._bob.waits_for(
            CHANNEL, lambda m: _has_header(m) and holds in self._plain(m), patience or self._patience
        )

    def _answer(self, person: WorkspaceMember, *any_of: str) -> JSON:
        """Wait for an answer that only this person sees."""
        return person.waits_for(
            CHANNEL,
            lambda m: m["is_ephemeral"] and any(words in self._plain(m) for words in any_of),
            self._patience,
        )

    def _show(self, what: str, message: JSON, most: int | None = None) -> None:
        """Tell a message, or its first lines."""
        first, *rest = self._plain(message).splitlines()[:most] or [_picture(message)]
        if not rest:
            self._tell(f"  {what}: {first}")
            return
        for line in (f"{what}:", *(f"  {each}" for each in (first, *rest))):
            self._tell(f"  {line}")

    def _plain(self, message: JSON) -> str:
        """Return a message as it reads without its looks, one line for each part."""
        texts = "\n".join(_texts(message.get("blocks"))) or message["text"]
        return _as_words(texts, self._names)


class _SilenceError(Exception):
    """The app did not acknowledge."""


def _check(outcome: ActionResult) -> None:
    if not outcome.acked:
        raise _SilenceError(f"Registrar did not answer ({outcome.error})")


def _has_header(message: Mapping[str, Any]) -> bool:
    return any(block["type"] == "header" for block in message.get("blocks", ()))


def _picture(message: Mapping[str, Any]) -> str:
    """Return what a message without words shows."""
    return "; ".join(f"(picture) {one.get('alt_txt') or one.get('title')}" for one in message.get("files", ()))


def _texts(part: Any) -> Iterator[str]:
    """Yield every text in blocks, as one reads them; the buttons of a row share a line, and questions are left out."""
    if isinstance(part, list):
        for one in part:
            yield from _texts(one)
    elif isinstance(part, dict):
        if part.get("type") == "actions":
            yield "  ".join(f"[{one['text']['text']}]" for one in part["elements"])
        elif isinstance(part.get("text"), str):
            yield part["text"]
        else:
            yield from _texts([part[name] for name in ("text", "elements") if name in part])
            yield from (text.replace("\n", " ") for text in _texts(part.get("fields")))


def _as_words(text: str, names: Mapping[str, str]) -> str:
    """Return mrkdwn as plain words."""
    text = re.sub(r"<@(\w+)>", lambda found: names.get(found[1], found[1]), text)
    text = re.sub(r"<!date\^[^|>]*\|([^>]*)>", r"\1", text)
    text = re.sub(r"^\*([^*\n]+)\* (?=\S)", r"\1: ", text, flags=re.MULTILINE)
    text = re.sub(r"[*`]|^> ", "", text, flags=re.MULTILINE)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
