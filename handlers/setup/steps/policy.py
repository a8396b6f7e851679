"""The step for the policy file: a channel, approvers, an admin, and who is at the keyboard."""

from __future__ import annotations

from bot.domain.core.errors import Misconfigured
from bot.policy_file import parse_policy
from bot.settings import read_settings
from handlers.doctor.local import check_policy
from handlers.setup.choose import choose_one, choose_several
from handlers.setup.policy_text import policy_text
from handlers.setup.steps.slack_tokens import bot_identity
from handlers.setup.steps.step import SetupState, SetupStep, StepPendingError
from handlers.setup.workspace import SlackChoice, WorkspaceLists
from handlers.terminal.init import create_policy_file
from handlers.terminal.session import current_operator

PASTE_ID = "Guests and bots can't approve. To choose someone who isn't listed, paste their member ID."


def _check_policy(state: SetupState) -> str:
    """Return a sentence that says that the policy file is valid.

    Raises StepPendingError if the file doesn't exist. Raises Misconfigured if it's invalid, because setup doesn't
    change an existing file.
    """
    settings = read_settings()
    if not settings.policy.exists():
        raise StepPendingError
    policy, diagnoses = check_policy(settings)
    if policy is None:
        raise Misconfigured(f"{diagnoses[0].sentence} {diagnoses[0].advice}")
    state.user = policy.operators.get(current_operator().name, state.user)
    return f"Policy: {diagnoses[0].sentence}"


def _ask_policy(state: SetupState) -> None:
    settings, prompts = read_settings(), state.prompts
    bot = bot_identity(settings)
    lists = WorkspaceLists(settings, bot.team)
    prompts.say("Next, the policy. To find a channel or a person, type part of the name.")
    invite = f"If the channel is private, type /invite @{bot.bot} in it, then try again."
    channel = choose_one(prompts, "Channel for requests", lists.find_channels, if_none=invite)
    if not channel.is_member:  # a public one, where chat:write.public allows cards
        prompts.notice(f"The bot can post cards there. To see charts too, type /invite @{bot.bot} in {channel.label}.")
    user = choose_user(state, lists)
    approvers = choose_several(prompts, "Who approves promotions", lists.find_people, if_none=PASTE_ID)
    if {approver.id for approver in approvers} == {user.id}:
        prompts.notice("You're the only approver, so no one can approve your own requests for Production.")
    admin = choose_one(prompts, "Admin", lists.find_people, default=user, if_none=PASTE_ID)
    text = policy_text(channel, approvers, admin, current_operator().name, user)
    parse_policy(text, settings.policy)
    create_policy_file(settings.policy, text)


def choose_user(state: SetupState, lists: WorkspaceLists) -> SlackChoice:
    """Ask who is at the keyboard. The default is the person whose Slack handle is the user name on this machine."""
    same_name = [one for one in lists.find_people(current_operator().name) if one.handle == current_operator().name]
    default = same_name[0] if same_name else None
    return choose_one(state.prompts, "Who are you in Slack", lists.find_people, default=default, if_none=PASTE_ID)


POLICY_STEP = SetupStep(_check_policy, _ask_policy)  # an existing file is never changed
