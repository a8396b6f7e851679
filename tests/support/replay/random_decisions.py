"""Random decisions about promotions, made with the real services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import yaml

from bot.domain.audit.events import Event, EventTag
from bot.domain.commands.parser import build_command
from bot.domain.commands.policy import FreezeModel, UnfreezeModel
from bot.domain.commands.promotions import Approve, Cancel, Override, Promote, Reject, Review, Withdraw
from bot.domain.commands.rollbacks import Unblock
from bot.domain.core.actors import Automation, Caller, Client, Profile
from bot.domain.core.ci_run import CiRun
from bot.domain.core.errors import RegistrarError
from bot.domain.policy.parser import revision_of
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import ModelPackage, Signature, SignatureColumn, Stage
from bot.domain.registry.rollback_block import RollbackBlock
from bot.policy_file import parse_policy
from bot.services.core.commands import Origin
from tests.support.services.approvals import AGENT_OF_ALICE, AGENT_OF_BOB, AGENT_OF_NO_ONE, CLIENT
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, GUEST, POLICY, SLACK, Bench

CI = Client("ci")
PEOPLE: tuple[Profile, ...] = (ALICE, BOB, CAROL, DAVE, GUEST)
OPERATOR = Profile(person=BOB.person, operator="bob")
GATES: tuple[Mapping[str, Any], ...] = (
    {"metric": "accuracy", "at_least": 0.5},
    {"metric": "loss", "at_most": 0.5, "not_worse_than_incumbent_by": 0.1},
    {"metric": "validation_f1", "at_least": 0.3},
    {"card": ["owner", "use_case"]},
    {"signature": "compatible"},
    {"semver": "set"},
    {"not_blocked": True},
    {"in_staging_for": "1h"},
)


def parse(text: str) -> Policy:
    """Return the policy in a text."""
    return parse_policy(text, Path("registrar.yml"))


def take_policy(bench: Bench, acts_for: str | None = None, **production: Any) -> str:
    """Put a policy with this rule for Production into effect, as the policy file does, and return its revision."""
    data = POLICY | {
        "clients": {"ci": {"may": ["request"]}, "claude": {"may": ["request"], "acts_for": acts_for}},
        "operators": {"bob": "UBOB"},
        "people": {"github": {"octocat": "UCAROL"}},
        "models": {"*": {"staging": {"approvers": ["lead"]}, "production": {"approvers": ["lead"]} | production}},
    }
    text = yaml.safe_dump(data)
    revision = revision_of(text)
    loaded = Event(
        at=bench.clock.now(),
        actor=Automation("policy-file"),
        tag=EventTag.POLICY_LOADED,
        subject=f"policy:{revision}",
        after=revision,
        evidence={"text": text},
    )
    with bench.ledger.write() as tx:
        tx.add_audit_event(loaded)
    bench.context.active_policy.replace(parse(text), revision)
    return revision


class RandomDecisions:
    """Makes one random decision after another, each about a model of its own."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self._bench = bench
        self._random = Random(seed)  # noqa: S311 - the same decisions each time
        self._model = ""
        self._candidate = 0
        self._request = ""

    def decide(self, name: str) -> str | None:
        """Make a decision about a new model, and return the request's ID; None if it was refused."""
        self._model = name
        self._bench.directory.people.clear()
        self._take_random_policy()
        self._add_versions()
        try:
            self._open()
        except RegistrarError:
            return None
        for _ in range(self._random.randrange(12)):
            with suppress(RegistrarError):
                self._random.choice(self._actions())()
            self._bench.clock.advance(minutes=1)
        return self._request

    def _take_random_policy(self) -> None:
        random = self._random
        gates = random.sample(GATES, random.randrange(4))
        take_policy(
            self._bench,
            random.choice(["UBOB", "UCAROL", None]),
            approvers=random.choice([["lead"], ["lead", "UALICE"], ["S0TEAM", "UALICE"]]),
            gates=[dict(gate) for gate in gates],
            required=random.choice([1, 1, 2]),
            requester_may_approve=random.random() < 0.3,
            override=random.choice([[], ["admin"], ["lead"]]),
            expires_after=random.choice(["1h", "7d"]),
            integrity=random.choice(["off", "recorded", "required", "required"]),
        )

    def _add_versions(self) -> None:
        random, registry = self._random, self._bench.registry
        registry.add_model(self._model)
        self._measure("incumbent")
        self._measure("candidate")
        if random.random() < 0.7:
            registry.add_version(self._model, stage=Stage.PRODUCTION, run_id=f"{self._model}-incumbent", source="a")
        stage = random.choice([Stage.NONE, Stage.STAGING])
        tags = random.choice([{}, {"semver": "1.0.0", "owner": "ann"}, {"owner": "ann", "use_case": "churn"}])
        run, source = f"{self._model}-candidate", f"{self._model}-files"
        self._candidate = registry.add_version(self._model, stage=stage, run_id=run, tags=tags, source=source)
        for version in registry.versions(self._model):
            columns = random.choice([1, 1, 2, 300])
            inputs = tuple(SignatureColumn(name=f"column{at}", type="double") for at in range(columns))
            registry.add_package(version, ModelPackage(signature=random.choice([None, Signature(inputs=inputs)])))
        self._write_file("good")
        if random.random() < 0.2:
            self._block()

    def _write_file(self, contents: str) -> None:
        candidate = self._bench.registry.version(self._model, self._candidate)
        self._bench.registry.add_file(candidate, "model.pkl", contents.encode())

    def _measure(self, which: str) -> None:
        metrics = {name: self._random.random() for name in self._random.sample(["accuracy", "loss", "f1"], 2)}
        metrics |= self._random.choice([{}, {"accuracy": float("nan")}, {"accuracy": 0.5}])
        self._bench.registry.add_run(f"{self._model}-{which}", metrics=metrics)

    def _block(self) -> None:
        block = RollbackBlock(
            id=f"block-{self._model}",
            model=self._model,
            version=self._candidate,
            move="rollback:1",
            at=self._bench.clock.now(),
            by=BOB.person,
            reason="it was bad",
        )
        with self._bench.ledger.write() as tx:
            tx.add_rollback_block(block)

    def _open(self) -> None:
        random = self._random
        breaks_glass = random.random() < 0.15
        callers: list[Caller] = [DAVE] if breaks_glass else [ALICE, BOB, CAROL, CI, CLIENT]
        who = random.choice(callers)
        ci = CiRun(repository="acme/churn", run="1", actor=random.choice(["octocat", "ann"]), service="github")
        origin = Origin(entry_point="api", ci=ci) if who is CI else SLACK
        if who is CLIENT:
            agent = random.choice([AGENT_OF_ALICE, AGENT_OF_BOB, AGENT_OF_NO_ONE, None])
            origin = Origin(entry_point="mcp", agent=agent)
        words = {"model": self._model, "version": str(self._candidate), "to": "production", "reason": "better"}
        command = build_command(Promote, words | {"break_glass": breaks_glass, "validation": "f1=0.4"})
        queued = self._bench.commands.execute(who, command, origin).queued
        assert queued is not None
        self._request = self._bench.open_ask(queued.id).id

    def _actions(self) -> list[Callable[[], object]]:
        bench, random, request = self._bench, self._random, self._request
        who: Profile = random.choice((*PEOPLE, OPERATOR))
        who = bench.directory.people.get(who.person.user, who)
        run = f"{self._model}-{random.choice(['incumbent', 'candidate'])}"

        def say(command: Any, **more: Any) -> Callable[[], object]:
            return lambda: bench.execute(who, command(request=request, **more))

        return [
            *[say(Approve)] * 12,
            *[lambda: bench.moves.execute_due(self._model)] * 5,
            *[bench.digests.run_due] * 5,
            lambda: self._write_file(random.choice(["good", "evil"])),
            *[say(Override, reason="known")] * 2,
            say(Reject, reason="too slow"),
            say(Withdraw),
            say(Cancel),
            say(Review, reason="it was fine"),
            lambda: bench.directory.become(who, **random.choice([{"is_guest": True}, {"is_deleted": True}])),
            lambda: bench.directory.become(who, groups=frozenset({"S0TEAM"})),
            self._take_random_policy,
            lambda: self._measure(run.rpartition("-")[2]),
            lambda: bench.registry.set_tags(self._model, self._candidate, {"owner": None}),
            lambda: bench.clock.advance(hours=2),
            bench.request_upkeep.expire_overdue,
            bench.request_upkeep.end_outdated,
            lambda: bench.execute(BOB, build_command(FreezeModel, {"model": self._model, "reason": "audit"})),
            lambda: bench.execute(BOB, build_command(UnfreezeModel, {"model": self._model})),
            lambda: bench.execute(
                BOB, build_command(Unblock, {"model": self._model, "version": str(self._candidate), "reason": "fine"})
            ),
        ]
