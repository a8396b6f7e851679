"""The grammar: one pydantic model per verb. Slack's text, its modals, the terminal and the help all come from here."""

from __future__ import annotations

import argparse
import difflib
import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Annotated, Any, NoReturn, TypeVar, get_args

from pydantic import BeforeValidator, Field, ValidationError

from bot.domain import monitor_commands
from bot.domain.durations import parse_duration
from bot.domain.errors import BadInput

# What every verb is made of; whoever knows the verbs finds it here as well.
from bot.domain.grammar import REASON_MOST as REASON_MOST  # noqa: PLC0414
from bot.domain.grammar import Arg as Arg  # noqa: PLC0414
from bot.domain.grammar import Command as Command  # noqa: PLC0414
from bot.domain.grammar import Everywhere, Reason
from bot.domain.grammar import MissingArguments as MissingArguments  # noqa: PLC0414
from bot.domain.grammar import Model as Model  # noqa: PLC0414
from bot.domain.grammar import OptionalModel as OptionalModel  # noqa: PLC0414
from bot.domain.mirror import OURS
from bot.domain.registry import Stage, VersionRef, parse_target, parse_version
from bot.domain.semver import Bump
from bot.domain.text import Code, Name, clean, say

DESCRIPTION_MOST = 4000  # characters; MLflow on PostgreSQL holds 5,000, and a promotion adds a line
TAG_MOST = 1000  # characters of a tag's value
EVENTS_MOST = 10**15  # more than an audit will ever hold, and less than a database counts


def _request_id(text: object) -> str:
    word = str(text).strip().lstrip("#").lower()
    if not re.fullmatch(r"[a-z0-9]{4,16}", word):
        raise BadInput(say("{word} is no request. Its short id stands on the card, like {like}.",
                           word=Name(str(text)[:40]), like=Code("r4k7q")))  # fmt: skip
    return word


def _run_id(text: object) -> str:
    word = str(text).strip()
    if not re.fullmatch(r"\w{1,64}", word, re.ASCII):
        raise BadInput(say("{word} is no run id. Copy it from MLflow: 32 letters and digits.", word=Name(word[:80])))
    return word


def _is_version(text: str) -> bool:
    try:
        parse_version(text)
    except BadInput:
        return False
    return True


def _many(each: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda words: tuple(each(word) for word in ([words] if isinstance(words, str) else words))


def _metric_names(text: object) -> tuple[str, ...]:
    words = text.split(",") if isinstance(text, str) else list(text) if isinstance(text, Sequence) else [str(text)]
    return tuple(dict.fromkeys(word.strip() for word in words if word.strip()))


def _pair(text: object) -> str:
    """Return `key=value` as it was typed, once it is sure that a registry can hold both."""
    key, equals, value = str(text).partition("=")
    key = key.strip()
    if not equals or not key:
        raise BadInput(say("{word} is no tag. Write it so: {like}", word=Name(str(text)[:80]), like=Code("owner=ann")))
    if not re.fullmatch(r"[\w.\-: /]{1,250}", key) or ".." in key or key.startswith("/"):
        raise BadInput(say("MLflow takes no tag called {key}. Use letters, digits and _ . - : /", key=Name(key)))
    if key.startswith("mlflow.") or key in OURS:
        raise BadInput(say("The tag {key} is kept by {who}; set another.", key=Code(key),
                           who="MLflow itself" if key.startswith("mlflow.") else "Registrar"))  # fmt: skip
    if len(value) > TAG_MOST:
        raise BadInput(say("The value of {key} is longer than {n} characters.", key=Code(key), n=f"{TAG_MOST:,}"))
    return f"{key}={value.strip()}"


def _result(text: object) -> str:
    """Return `metric=number` as it was typed, once it is sure that it is one."""
    name, equals, value = str(text).partition("=")
    name = name.strip()
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not equals or not math.isfinite(number):
        raise BadInput(say("{word} is no result. Write it so: {like}", word=Name(str(text)[:80]),
                           like=Code("accuracy=0.92")))  # fmt: skip
    if not re.fullmatch(r"[\w.\-: /]{1,200}", name) or ".." in name or name.startswith("/"):
        raise BadInput(say("MLflow takes no metric called {key}. Use letters, digits and _ . - : /", key=Name(name)))
    return f"{name}={value.strip()}"


def _results(text: object) -> tuple[str, ...]:
    words = [text] if isinstance(text, str) else list(text) if isinstance(text, Sequence) else [str(text)]
    return tuple(_result(part) for word in words for part in str(word).split(",") if part.strip())


def moment(text: object) -> timedelta | datetime:
    """Return a span of time or a moment. A moment without a zone is in UTC."""
    if isinstance(text, timedelta | datetime):
        return text
    word = str(text).strip()
    try:
        return parse_duration(word)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(word)
    except ValueError:
        raise BadInput(
            say("{word} is no time. Write one like {a}, {b} or {c}.", word=Name(word[:40]), a=Code("2h"), b=Code("7d"),
                c=Code("2026-12-01T18:00"))
        ) from None  # fmt: skip
    if not 1900 <= moment.year < 2200:  # near its ends a calendar cannot change from one zone to another
        raise BadInput(say("{word} is too far away.", word=Name(word[:40])))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def day_or_moment(text: object) -> timedelta | datetime | date | None:
    """Return a whole day (`2026-03-03`), a moment, or a span of time: so long ago."""
    if text is None or isinstance(text, date):
        return text
    word = str(text).strip()
    if not re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}", word):
        return moment(text)
    try:
        day = date(*map(int, word.split("-")))
    except ValueError:
        raise BadInput(say("{word} is no day of any calendar.", word=Name(word))) from None
    if not 1900 <= day.year < 2200:
        raise BadInput(say("{word} is too far away.", word=Name(word)))
    return day


def _description(text: object) -> str:
    words = clean(str(text)).strip()
    if len(words) > DESCRIPTION_MOST:
        raise BadInput(f"The description is longer than {DESCRIPTION_MOST:,} characters. Say it shorter, and link.")
    return words


def _bump(text: object) -> Bump:
    if isinstance(text, Bump):
        return text
    try:
        return Bump(str(text).strip().lower())
    except ValueError:
        parts = [Code(each.value) for each in Bump]
        raise BadInput(
            say("{word} is no bump. It is one of {parts}.", word=Name(str(text)[:40]), parts=parts)
        ) from None


Version = Annotated[
    VersionRef,
    BeforeValidator(lambda text: text if isinstance(text, VersionRef) else parse_version(str(text))),
    Arg("VERSION", "7, v7, 2.1.0, @alias, staging, production or latest", flags=("--version",)),
]
Target = Annotated[
    Stage,
    BeforeValidator(lambda text: text if isinstance(text, Stage) else parse_target(str(text))),
    Arg("STAGE", "staging or production", flags=("--to",)),
]
OptionalVersion = Annotated[
    VersionRef | None,
    get_args(Version)[1],
    Arg("VERSION", "7, v7, 2.1.0, @alias, staging, production or latest", flags=("--version",), takes=_is_version),
]
Tags = Annotated[tuple[str, ...], BeforeValidator(_many(_pair))]
Results = Annotated[
    tuple[str, ...], BeforeValidator(_results),
    Arg("METRIC=VALUE", "a result of your own validation; can be given again", False, ("--validation",), many=True),
]  # fmt: skip
RequestId = Annotated[
    str, BeforeValidator(_request_id), Arg("REQUEST", "the short id on the card", flags=("--request",))
]


SomeCommand = TypeVar("SomeCommand", bound=Command)


class Help(Command):
    """Explain the verbs, or one of them."""

    verb = "help"
    summary = "What can be typed, or how one verb is typed"
    example = "help promote"
    about: Annotated[
        str, BeforeValidator(lambda words: words if isinstance(words, str) else " ".join(words).lower()),
        Arg("VERB", "the verb to explain; some have two words", many=True),
    ] = ""  # fmt: skip


class List(Command):
    """List the registered models."""

    verb = "list"
    summary = "The registered models and what is in Staging and Production"
    example = "list churn"
    text: Annotated[str, Arg("TEXT", "only models whose name holds this", flags=("--text",))] = ""
    page: Annotated[int, Field(ge=1, le=100_000), Arg("N", "which page", positional=False, flags=("--page",))] = 1


class Show(Command):
    """Show a model, or one version of it."""

    verb = "show"
    summary = "A model's versions and stages, or one version's metadata card"
    example = "show churn 4"
    model: Model
    version: OptionalVersion = None


class Register(Command):
    """Make a new version out of a run."""

    verb = "register"
    summary = "Make a new version out of a run"
    example = 'register 0a1b2c3d4e5f60718293a4b5c6d7e8f9 churn --description "wider trees"'
    run_id: Annotated[
        str, BeforeValidator(_run_id), Arg("RUN_ID", "the run that logged the model", flags=("--run-id",))
    ]
    model: Model
    bump: Annotated[
        Bump | None, BeforeValidator(_bump),
        Arg("PART", "major, minor or patch, where you know better than the rules", False, ("--bump",)),
    ] = None  # fmt: skip
    description: Annotated[
        str, BeforeValidator(_description), Arg("TEXT", "what is new", positional=False, flags=("--description",))
    ] = ""
    tags: Annotated[Tags, Arg("KEY=VALUE", "a tag; can be given again", False, ("--tag",), many=True)] = ()
    artifact: Annotated[
        str, Arg("NAME", "which of the run's models, where it logged several", False, ("--artifact",))
    ] = ""


class Describe(Command):
    """Write what a model or a version is."""

    verb = "describe"
    summary = "Write the description of a version, or of the model"
    example = 'describe churn 4 "trained on the spring campaign"'
    model: Model
    version: OptionalVersion = None
    text: Annotated[str, BeforeValidator(_description), Arg("TEXT", "the description", flags=("--text",))]


class SetTags(Command):
    """Set tags of a version, or take them away."""

    verb = "tag"
    summary = "Set tags of a version; an empty value takes one away"
    example = "tag churn 4 owner=ann use_case=retention"
    model: Model
    version: Version
    tags: Annotated[Tags, Arg("KEY=VALUE", "what to set; KEY= takes it away", True, ("--tag",), many=True)]

    def pairs(self) -> dict[str, str | None]:
        """Return the tags; None is one to be taken away."""
        return {key: value or None for key, _, value in (tag.partition("=") for tag in self.tags)}


class Archive(Command):
    """Take a version aside."""

    verb = "archive"
    summary = "Take a version aside; never the one in Production"
    example = 'archive churn 2 --reason "trained on leaked labels"'
    model: Model
    version: Version
    reason: Reason = ""


class Compare(Command):
    """Compare versions by their metrics."""

    verb = "compare"
    summary = "Compare versions by their metrics, against the one in Production"
    example = "compare churn 4 5 --metrics f1,latency_ms"
    model: Model
    versions: Annotated[
        tuple[VersionRef, ...],
        BeforeValidator(_many(lambda word: word if isinstance(word, VersionRef) else parse_version(str(word)))),
        Arg("VERSION", "which; without any, all", flags=("--version",), many=True),
    ] = ()
    metrics: Annotated[
        tuple[str, ...], BeforeValidator(_metric_names),
        Arg("A,B", "only these metrics", positional=False, flags=("--metrics",)),
    ] = ()  # fmt: skip
    last: Annotated[
        int | None, Field(ge=1, le=100_000), Arg("N", "only the newest N", positional=False, flags=("--last",))
    ] = None


class Best(Command):
    """Find the version with the best value of a metric."""

    verb = "best"
    summary = "The version that is best by one metric, and how far ahead"
    example = "best churn f1"
    model: Model
    metric: Annotated[
        str, BeforeValidator(lambda text: str(text).strip()), Arg("METRIC", "such as f1", flags=("--metric",))
    ]
    lowest: Annotated[bool, Arg("", "the lowest value wins", positional=False, flags=("--lowest",))] = False


class Promote(Command):
    """Ask that a version move to Staging or Production."""

    verb = "promote"
    summary = "Ask that a version move to Staging or Production"
    example = 'promote churn 4 production --reason "better f1"'
    model: Model
    version: Version
    to: Target
    reason: Reason = ""
    keep_existing: Annotated[
        bool, Arg("", "let the present holder stay in the stage", positional=False, flags=("--keep-existing",))
    ] = False
    break_glass: Annotated[
        bool,
        Arg("", "admins: move it now, past approvals, gates and freezes; the channel is alarmed", positional=False,
            flags=("--break-glass",)),
    ] = False  # fmt: skip
    validation: Results = ()

    def results(self) -> dict[str, float]:
        """Return the results that the asker handed over, by metric."""
        return results(self.validation)


class Validate(Command):
    """Look at a version through the gates of a stage, without asking for anything."""

    verb = "validate"
    summary = "What the gates say of a version, without asking for anything"
    example = "validate churn 4"
    model: Model
    version: Version
    to: Annotated[
        Stage, get_args(Target)[1],
        Arg("STAGE", "whose gates: staging or production", flags=("--to",)),
    ] = Stage.PRODUCTION  # fmt: skip
    validation: Results = ()

    def results(self) -> dict[str, float]:
        """Return the results that were handed over, by metric."""
        return results(self.validation)


class Approve(Command):
    """Approve a request."""

    verb = "approve"
    summary = "Approve a request"
    example = "approve r4k7q"
    request: RequestId


class Reject(Command):
    """Reject a request."""

    verb = "reject"
    summary = "Reject a request, with a reason"
    example = 'reject r4k7q --reason "latency too high"'
    request: RequestId
    reason: Reason


class Withdraw(Command):
    """Take one's vote back."""

    verb = "withdraw"
    summary = "Take your approval back, while the request is not decided"
    example = "withdraw r4k7q"
    request: RequestId


class Override(Command):
    """Let failed gates pass."""

    verb = "override"
    summary = "Let the failed gates of a request pass, with a reason"
    example = 'override r4k7q --reason "the metric is measured anew tomorrow"'
    request: RequestId
    reason: Reason


class Cancel(Command):
    """Take a request back."""

    verb = "cancel"
    summary = "Take a request back that you asked for"
    example = "cancel r4k7q"
    request: RequestId
    reason: Reason = ""


class Requests(Command):
    """List the requests that wait."""

    verb = "requests"
    summary = "The requests that wait for somebody"
    example = "requests churn"
    model: OptionalModel = None


class ShowPolicy(Command):
    """Tell what the policy says of a model."""

    verb = "policy"
    summary = "What holds for a model: who decides, how many, which gates"
    example = "policy churn"
    model: Model


class FreezeModel(Command):
    """Let nothing move in Production."""

    verb = "freeze"
    summary = "Let nothing move in Production, of one model or of all"
    example = 'freeze churn --until 48h --reason "end of the quarter"'
    model: OptionalModel = None
    everywhere: Everywhere = False
    until: Annotated[
        timedelta | datetime | None, BeforeValidator(moment),
        Arg("TIME", "how long (48h), or until when (2026-12-01T18:00, UTC)", False, ("--until",)),
    ] = None  # fmt: skip
    reason: Reason


class UnfreezeModel(Command):
    """Let Production move again."""

    verb = "unfreeze"
    summary = "Let Production move again"
    example = "unfreeze churn"
    model: OptionalModel = None
    everywhere: Everywhere = False
    reason: Reason = ""


class Rollback(Command):
    """Put a version back into Production that served before."""

    verb = "rollback"
    summary = "Put the version before back into Production, or a named one, at once"
    example = 'rollback churn --reason "accuracy fell since v7"'
    model: Model
    version: OptionalVersion = None
    force: Annotated[
        bool, Arg("", "also a version that may not load; the reason says why", positional=False, flags=("--force",))
    ] = False
    reason: Reason


class Clear(Command):
    """Lift the bar from a version that was rolled back as bad."""

    verb = "clear"
    summary = "Let a version be gone back to again that was rolled back as bad"
    example = 'clear churn 7 --reason "it was the feature store"'
    model: Model
    version: Version
    reason: Reason


class ShowAudit(Command):
    """Tell what happened to a model."""

    verb = "audit"
    summary = "Who did what to a model, and what was refused"
    example = "audit churn --since 30d"
    model: Model
    since: Annotated[
        timedelta | datetime, BeforeValidator(moment),
        Arg("TIME", "how far back (30d), or from when (2026-11-01)", False, ("--since",)),
    ] = timedelta(days=30)  # fmt: skip
    before: Annotated[
        int | None,
        Field(ge=1, le=EVENTS_MOST),
        Arg("N", "only events before this number", positional=False, flags=("--before",)),
    ] = None


class History(Command):
    """Tell what was in Production, when, and why."""

    verb = "history"
    summary = "What was in Production, when, by whom and why"
    example = "history churn --at 2026-03-03"
    model: Model
    last: Annotated[int, Field(ge=1, le=50), Arg("N", "how many", positional=False, flags=("--last",))] = 10
    at: Annotated[
        timedelta | datetime | date | None, BeforeValidator(day_or_moment),
        Arg("TIME", "who served on a day (2026-03-03) or at a moment (2026-03-03T14:00), in UTC; or 2h ago", False,
            ("--at",)),
    ] = None  # fmt: skip

    def at_a_moment(self, now: datetime) -> History:
        """Return the command so that it means the same later: not so long ago, but at the moment that this was."""
        return self.model_copy(update={"at": begin(self.at, now)}) if isinstance(self.at, timedelta) else self


VERBS: dict[str, type[Command]] = {
    verb.verb: verb
    for verb in (
        Help, List, Show, Register, Describe, SetTags, Archive, Compare, Best,
        Promote, Validate, Approve, Reject, Withdraw, Override, Cancel, Requests, History,
        Rollback, Clear, ShowPolicy, FreezeModel, UnfreezeModel, ShowAudit,
    )
} | {verb.verb: verb for verb in monitor_commands.VERBS}  # fmt: skip


def begin(since: timedelta | datetime, now: datetime) -> datetime:
    """Return the moment that is meant: itself, or so long before now; what lies before every date is the first."""
    try:
        return now - since if isinstance(since, timedelta) else since
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def results(pairs: Sequence[str]) -> dict[str, float]:
    """Return the results that were typed as `metric=number`, by metric; of one given twice the last."""
    return {name: float(value) for name, _, value in (pair.partition("=") for pair in pairs)}


def parse(text: str) -> Command | None:
    """Return the command that somebody typed, or None for nothing at all.

    Smart quotes and dashes are understood. Raises BadInput with the nearest verb or the usage, and
    MissingArguments with what was understood so far.
    """
    words = split(text)
    return parse_words(words) if words else None


def parse_words(words: Sequence[str]) -> Command:
    """Return the command that the words of a command line mean. Raises like `parse`."""
    if words[0].lower().lstrip("/") == monitor_commands.GROUP:
        if set(words[1:]) in ({"--help"}, {"-h"}):
            return Help(about=monitor_commands.GROUP)
        return parse_behind(*monitor_commands.find(words[1:]))
    return parse_behind(find_verb(words[0]), words[1:])


def parse_behind(verb: type[Command], words: Sequence[str]) -> Command:
    """Return the command that a verb and the words behind it mean. Raises like `parse`, but for the verb."""
    if {"--help", "-h"} & set(words):
        return Help(about=verb.verb)
    given = _given(verb, words)
    missing = [arg.shown for name, field, arg in verb.args() if field.is_required() and name not in given]
    if missing:
        raise MissingArguments(verb, given, missing)
    return build(verb, given)


def build(verb: type[SomeCommand], given: dict[str, Any]) -> SomeCommand:
    """Return the command from its fields. Raises BadInput for a value that it cannot hold."""
    try:
        return verb(**given)
    except ValidationError as error:
        fault = error.errors()[0]
        field = str(fault["loc"][0]).replace("_", "-") if fault["loc"] else verb.verb
        raise BadInput(say("{field}: {what}.", field=Code(f"--{field}"), what=_fault(fault))) from error


def _fault(fault: Any) -> str:
    """Return what is wrong with a value, in words for people, who know of no input and no string."""
    if fault["type"] == "int_parsing":
        return "it should be a whole number, such as 2"
    return re.sub(r"^(Input|String) should", "it should", str(fault["msg"]))


def load(data: Mapping[str, Any]) -> Command:
    """Return the command that `dump` wrote. Raises BadInput for what no command ever wrote."""
    given = {name: value for name, value in data.items() if name != "verb" and value is not None}
    return build(find_verb(str(data.get("verb", Promote.verb))), given)


def find_verb(word: str) -> type[Command]:
    """Return the verb. Raises BadInput with the nearest one."""
    wanted = word.lower().lstrip("/")
    if wanted in VERBS:
        return VERBS[wanted]
    near = difflib.get_close_matches(wanted, [*VERBS, monitor_commands.GROUP], n=1, cutoff=0.6)
    if near:
        raise BadInput(say("I know no {word}. Did you mean {near}?", word=Name(word[:60]), near=Code(near[0])))
    raise BadInput(say("I know no {word}. Try {help}.", word=Name(word[:60]), help=Code("help")))


def split(text: str) -> list[str]:
    """Return the words of what was typed, on a phone or a keyboard. Raises BadInput for an open quote."""
    plain = re.sub(r"[“”„‟«»]", '"', text)
    plain = re.sub(r"(?<=\w)['’](?=\w)", _APOSTROPHE, plain)
    plain = re.sub(r"[‘’‚‛]", "'", plain)
    pieces = re.split(r"(\"[^\"]*\"|'[^']*')", plain)
    plain = "".join(piece if at % 2 else re.sub(r"(^|\s)[—–―−](?=[A-Za-z])", r"\1--", piece)
                    for at, piece in enumerate(pieces))  # fmt: skip
    lexer = shlex.shlex(plain, posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""
    try:
        return [clean(word.replace(_APOSTROPHE, "'")) for word in lexer]
    except ValueError:
        raise BadInput("A quote is opened and never closed.") from None


_APOSTROPHE = "\ue000"  # an apostrophe inside a word opens no quote; `clean` takes a typed one out


class _Parser(argparse.ArgumentParser):
    """argparse that raises, prints nothing and never exits."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(_kind(message, self.usage or ""))


@cache
def _parser(verb: type[Command]) -> _Parser:
    parser = _Parser(prog=verb.verb, usage=verb.usage(), add_help=False, allow_abbrev=False)
    for name, field, arg in verb.args():
        if field.annotation is bool:
            parser.add_argument(*arg.flags, dest=name, action="store_true", default=None)
        elif arg.flags and arg.many:
            parser.add_argument(*arg.flags, dest=name, metavar=arg.shown, action="append")
        elif arg.flags:
            parser.add_argument(*arg.flags, dest=name, metavar=arg.shown)
    return parser


def _given(verb: type[Command], words: Sequence[str]) -> dict[str, Any]:
    """Return the fields that were typed, by place or by flag. Raises BadInput when one was typed both ways.

    A positional argument whose field was given as a flag is skipped, so `promote churn --version 7 production` works.
    """
    # The parser knows the flags only: argparse gives up a positional argument that stands behind a flag.
    end = words.index("--") if "--" in words else len(words)
    spaces, placed = _parser(verb).parse_known_args(list(words[:end]))
    flags = [word for word in placed if word.startswith("-")]
    if flags:
        raise BadInput(_unknown_flag(verb, flags[0]))
    placed += words[end + 1 :]
    typed = vars(spaces)
    fields = {name: value for name, _, _ in verb.args() if (value := typed.get(name)) is not None}
    placed = _place(verb, fields, placed)
    if placed:
        raise BadInput(_superfluous(verb, placed[0]))
    return fields


def _place(verb: type[Command], fields: dict[str, Any], words: list[str]) -> list[str]:
    """Give the words to the positional fields that no flag has filled; return the words that are left.

    An optional field takes none that a required one behind it needs, and none that is not of its kind.
    """
    open_ones = [(name, field, arg) for name, field, arg in verb.args() if arg.positional and name not in fields]
    needed = sum(field.is_required() for _, field, _ in open_ones)
    for name, field, arg in open_ones:
        needed -= field.is_required()
        if not words or (not field.is_required() and needed and (len(words) <= needed or not arg.takes(words[0]))):
            continue
        fields[name], words = (words, []) if arg.many else (words[0], words[1:])
    return words


def _unknown_flag(verb: type[Command], flag: str) -> Any:
    known = [one for _, _, arg in verb.args() for one in arg.flags]
    near = difflib.get_close_matches(flag.split("=", maxsplit=1)[0], known, n=1)
    if near:
        return say(
            "{verb} knows no {flag}. Did you mean {near}?", verb=Code(verb.verb), flag=Name(flag), near=Code(near[0])
        )
    return say(
        "{verb} knows no {flag}. Write it so: {usage}", verb=Code(verb.verb), flag=Name(flag), usage=Code(verb.usage())
    )


def _superfluous(verb: type[Command], word: str) -> Any:
    hint = " A reason goes behind --reason, in quotes." if "reason" in verb.model_fields else ""
    return say(
        "{word} is one word too many." + hint + " Write it so: {usage}", word=Name(word[:80]), usage=Code(verb.usage())
    )


def _kind(message: str, usage: str) -> Any:
    wants_value = re.match(r"argument (\S+?)(?:/\S+)?: expected one argument", message)
    if wants_value:
        return say("{flag} needs a value behind it. Write it so: {usage}", flag=Code(wants_value[1]), usage=Code(usage))
    return say("I cannot read that ({what}). Write it so: {usage}", what=message, usage=Code(usage))
