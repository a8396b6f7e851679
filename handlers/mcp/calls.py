"""Tool calls: each one checks the client, its quotas, and its models again, then executes the tool's command."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool

from bot import logging_context
from bot.domain.commands.base import Command
from bot.domain.core.actors import actor_id
from bot.domain.core.agent import Agent
from bot.domain.core.errors import BadInput, QuotaExceeded, UnknownModel
from bot.domain.core.sentence import Name, say
from bot.domain.monitoring.proposals.messages import proposal_status
from bot.domain.policy.authorization import AccessTarget, overrider_ids
from bot.domain.policy.callers.api_clients import ApiClient
from bot.domain.promotions.messages import gate_explanation
from bot.domain.registry.model import unknown_model_error
from bot.services.core.commands import Origin
from handlers.api import request_json
from handlers.api.calls import ApiCall, ApiError
from handlers.api.promotions import execute_command, find_command, submit_command
from handlers.mcp.catalog import ExplainGate, ProposeMonitor, RequestPromotion, ToolSpec, WaitForRequest
from handlers.terminal import comparisons, queries
from handlers.terminal.command_line.terminal_only_commands import AuditEvidence
from handlers.terminal.evidence.command import report
from handlers.terminal.output.command_output import OutputFormat
from handlers.terminal.session import TerminalSession

Document = dict[str, Any]
ReportProgress = Callable[[float, float | None, str | None], Awaitable[None]]

POLL_SECONDS = 1.0  # between two looks at a request, which read only the ledger
MAX_WAITS = 16  # of a client at the same time, in one process: each one keeps a connection
_RENDERERS = queries.RENDERERS | comparisons.RENDERERS


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool call by an agent of an admitted client. `waits` counts how many calls of each client are waiting."""

    call: ApiCall
    waits: Counter[str]
    session: TerminalSession
    agent: Agent
    report_progress: ReportProgress

    async def execute(self, tool: ToolSpec, arguments: Document) -> Document:
        """Execute the tool and return its document.

        Raises ApiError or RegistrarError if the arguments are wrong or the rules don't allow the call.
        """
        command = await run_in_threadpool(self._admit, tool, arguments)
        try:
            return await self._execute(tool, command)
        except (ApiError, UnknownModel) as error:
            code = error.document.get("kind") if isinstance(error, ApiError) else error.code
            if code != UnknownModel.__name__ or "*" in self.call.rules.models:
                raise
            raise unknown_model_error(command.model, None) from error  # no suggestion: the client may not know it

    async def _execute(self, tool: ToolSpec, command: Any) -> Document:
        if isinstance(command, WaitForRequest):
            return await self._wait(command)
        asking: dict[type[Command], Callable[[Any], Document]] = {
            RequestPromotion: self._request,
            ProposeMonitor: self._propose,
        }
        run = asking.get(type(command), partial(self._read, tool))
        # Clients take turns, and have few threads, so that slow calls of one delay neither people nor other clients.
        pool, owner = self.session.registrar.query_pool, actor_id(self.call.client)
        return await asyncio.wrap_future(pool.submit_for(owner, logging_context.with_context(partial(run, command))))

    def _admit(self, tool: ToolSpec, arguments: Document) -> Any:
        """Check the client's permission, the arguments, and the model; spend the quotas; and return the command."""
        verb = f"use the tool {tool.name}"
        self.call.require_right(verb, tool.rights)
        command = tool.parse(arguments)
        if model := getattr(command, "model", None):
            self.call.require_model(model, f"{verb} with")
        for quota in tool.quotas:
            self.call.registrar.access_control.spend_quota(self.call.client, quota, origin="mcp")
        return command

    @property
    def _origin(self) -> Origin:
        return Origin(entry_point="mcp", ci=self.call.verified_run, agent=self.agent)

    # -- reading -------------------------------------------------------------------------------------------------------

    def _read(self, tool: ToolSpec, command: Any) -> Document:
        if isinstance(command, ExplainGate):
            return self._explain_gate(command)
        if isinstance(command, AuditEvidence):
            with self.session.registrar.context.ledger.read() as reader:
                return report(reader, command)
        view = self._query(command)
        if tool.lists_models:
            view = [model for model in view if self.call.covers_model(model.name)]
        output = _RENDERERS[type(command)](self.session, command, view, OutputFormat.JSON)
        document: Document = json.loads(output.text)
        return document

    def _query(self, command: Command) -> Any:
        return self.call.registrar.commands.execute(self.call.client, command, self._origin).view

    def _explain_gate(self, command: ExplainGate) -> Document:
        version, snapshot = self._query(command.plain_command())
        gate = next((gate for gate in snapshot.gates if gate.name == command.gate), None)
        if gate is None:
            known: list[object] = [Name(gate.name) for gate in snapshot.gates] or ["none"]
            raise BadInput(say("{stage} has no such gate. Its gates: {known}.", stage=command.to, known=known), "gate")
        target = AccessTarget(
            model=command.model,
            target=command.to,
            requester=self.call.client,
            ci=self.call.verified_run,
            agent=self.agent,
        )
        overriders = overrider_ids(target, self.session.registrar.context.policy)
        return {
            "model": version.model,
            "version": version.version,
            "to": command.to.value,
            "gate": asdict(gate),
            "overriders": overriders,
            "sentence": str(gate_explanation(gate, version.version, overriders)),
        }

    # -- asking --------------------------------------------------------------------------------------------------------

    def _request(self, command: Any) -> Document:
        promote = command.plain_command()
        key, digest = self._key_and_digest(promote.dump(), command.idempotency_key)
        origin = replace(self._origin, idempotency_key=key, digest=digest)
        arguments = {name: value for name, value in promote.dump().items() if name != "verb"}
        queued = submit_command(self.call, type(promote), arguments, origin, "request promotions of")
        return execute_command(self.call.registrar, queued)[1]

    def _propose(self, command: Any) -> Document:
        add = command.plain_command()
        key, digest = self._key_and_digest(add.dump() | {"reason": command.reason}, command.idempotency_key)
        proposals = self.session.registrar.proposals
        made = proposals.propose(self.call.client, add, reason=command.reason, agent=self.agent, key=key, digest=digest)
        self.session.registrar.schedule_delivery()
        proposal = proposals.find(made.proposal.id)
        return {
            "id": proposal.id,
            "state": proposal.state.value,
            "model": proposal.monitor.model,
            "name": proposal.monitor.name,
            "rule": proposal.monitor.rule.model_dump(mode="json"),
            "backtest": str(proposal.backtest),
            "channel": made.proposal.where,
            "sentence": str(proposal_status(proposal, made.proposal.where)),
        }

    def _key_and_digest(self, asked_for: Document, given: str) -> tuple[str, str]:
        """Return the idempotency key and the digest of what's requested.

        If no key is `given`, it's derived from the digest, so identical calls count as one. A new request uses up an ID
        token; a repeated one doesn't. Raises ApiError.
        """
        digest = hashlib.sha256(json.dumps(asked_for, sort_keys=True).encode()).hexdigest()
        key = f"mcp:{given or digest}"
        with self.session.registrar.context.ledger.read() as reader:
            is_new = reader.queued_command_with_key(self.call.client, key) is None
        if is_new:
            self.call.use_id_token()
        return key, digest

    # -- waiting -------------------------------------------------------------------------------------------------------

    async def _wait(self, command: WaitForRequest) -> Document:
        name = self.call.client.name
        if self.waits[name] >= MAX_WAITS:
            sentence = say("This client is already waiting {n} times. End a wait first.", n=MAX_WAITS)
            raise ApiError(429, sentence, kind=QuotaExceeded.__name__, retry_after=5)
        self.waits[name] += 1
        try:
            return await self._wait_until_final(command)
        finally:
            self.waits[name] -= 1

    async def _wait_until_final(self, command: WaitForRequest) -> Document:
        began, told = time.monotonic(), ""
        while True:
            document = await run_in_threadpool(self._look, command.request)
            waited = time.monotonic() - began
            if document["is_final"] or waited >= command.timeout:
                return document
            if (sentence := str(document["sentence"])) != told:
                told = sentence
                await self.report_progress(waited, float(command.timeout), sentence)
            await asyncio.sleep(min(POLL_SECONDS, command.timeout - waited))

    def _look(self, request_id: str) -> Document:
        """Return a request's document, if the policy still lets the client read it."""
        context = self.call.registrar.context
        self.call.rules = context.policy.clients.get(self.call.client.name, ApiClient())
        self.call.require_right("read requests", ("request", "read"))
        find_command(self.call, request_id, only_own="read" not in self.call.rules.may)
        return request_json.find_document(context, request_id)
