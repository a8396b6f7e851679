"""The channel and the people that setup asks for, and the policy file that it writes."""

from __future__ import annotations

import pytest

from bot.domain.core.errors import Misconfigured
from bot.policy_file import load_policy, parse_policy
from handlers.manifest import MANIFEST
from handlers.setup.policy_text import policy_text
from handlers.setup.steps.policy import POLICY_STEP
from handlers.setup.workspace import SlackChoice
from handlers.terminal.init import POLICY_TEMPLATE
from handlers.terminal.session import current_operator
from localslack import LocalSlack
from localslack.seed import DEFAULT_PEOPLE, PersonSeed, Seed
from tests.support.app.workspaces import local_slack
from tests.support.terminal.setup_wizard import Wizard

BOB = SlackChoice("U0BOB", "bob", "Bob Tanaka (@bob)")
REST = ("bob", "alice", "", "")  # the user, an approver, no other one, and the user as the admin


@pytest.fixture(autouse=True)
def _tokens(wizard: Wizard, slack: LocalSlack) -> None:
    wizard.knows(slack)


def written(wizard: Wizard) -> str:
    return (wizard.folder / "registrar.yml").read_text(encoding="utf-8")


def test_the_policy_has_the_answers(wizard: Wizard) -> None:
    wizard.finishes(POLICY_STEP, "ml-", "bob", "alice", "okafor", "", "dave")
    policy = load_policy(wizard.folder / "registrar.yml")
    assert policy.channel == "C0MLMODELS"
    assert policy.roles == {"lead": ["U0ALICE", "U0CAROL"], "admin": ["U0DAVE"]}
    assert policy.operators == {current_operator().name: "U0BOB"}


def test_the_policy_keeps_the_templates_comments(wizard: Wizard) -> None:
    wizard.finishes(POLICY_STEP, "ml-", *REST)
    kept = set(POLICY_TEMPLATE.splitlines()) & set(written(wizard).splitlines())
    assert len(kept) == len(set(POLICY_TEMPLATE.splitlines())) - 3  # channel, lead, and admin


def test_a_name_with_yaml_in_it_stays_in_a_comment() -> None:
    channel = SlackChoice("C1", "x", "#x: [y] \\1 # z")
    text = policy_text(channel, [BOB], BOB, 'o"neil: x', BOB)
    policy = parse_policy(text, MANIFEST)
    assert (policy.channel, policy.operators) == ("C1", {'o"neil: x': "U0BOB"})


def test_several_matches_are_numbered(wizard: Wizard, slack: LocalSlack) -> None:
    slack.add_channel("C0MLTESTS", "ml-tests", members=["bot"])
    screen = wizard.finishes(POLICY_STEP, "ML-", "2", *REST)
    assert "  1  #ml-models\n  2  #ml-tests\n" in screen
    assert "channel: C0MLTESTS" in written(wizard)


def test_the_channels_are_read_once_if_something_matches(wizard: Wizard, slack: LocalSlack) -> None:
    slack.add_channel("C0MLTESTS", "ml-tests", members=["bot"])
    wizard.finishes(POLICY_STEP, "ml-", "ml-t", *REST)
    assert len(slack.calls("conversations.list")) == 1


def test_an_exact_name_is_chosen_although_others_contain_it(wizard: Wizard, slack: LocalSlack) -> None:
    slack.add_channel("C0CHURNTESTS", "churn-tests", members=["bot"])
    wizard.finishes(POLICY_STEP, "#churn", *REST)
    assert "channel: C0CHURN " in written(wizard)


def test_a_private_channel_is_found_once_the_bot_is_invited(wizard: Wizard, slack: LocalSlack) -> None:
    slack.add_channel("C0SECRET", "secret-models", is_private=True, members=["bob"])
    before = wizard.finishes(POLICY_STEP, "secret")
    assert "If the channel is private, type /invite @registrar in it, then try again." in before
    slack.set_members("secret-models", ["bob", "bot"])
    after = wizard.finishes(POLICY_STEP, "secret", *REST)
    assert "#secret-models (private)" in after
    assert "channel: C0SECRET" in written(wizard)


def test_a_public_channel_without_the_bot_has_a_notice(wizard: Wizard, slack: LocalSlack) -> None:
    slack.add_channel("C0OPEN", "open-models", members=["bob"])
    screen = wizard.finishes(POLICY_STEP, "open", *REST)
    assert "To see charts too, type /invite @registrar in #open-models." in screen


def test_an_archived_channel_is_not_offered(wizard: Wizard, slack: LocalSlack) -> None:
    slack.archive("churn")
    assert "Nothing matches churn." in wizard.finishes(POLICY_STEP, "churn")


@pytest.mark.parametrize(
    "changes",
    [{"is_bot": True}, {"is_restricted": True}, {"is_ultra_restricted": True}, {"deleted": True}, {"team_id": "T9"}],
)
@pytest.mark.parametrize("typed", ["dave", "U0DAVE"])
def test_people_who_cannot_decide_are_not_offered(
    wizard: Wizard, slack: LocalSlack, changes: dict[str, object], typed: str
) -> None:
    slack.change_person("dave", **changes)
    screen = wizard.finishes(POLICY_STEP, "ml-", "bob", typed)
    assert f"Nothing matches {typed}. Guests and bots can't approve." in screen


def test_everyone_in_a_large_workspace_can_be_found(wizard: Wizard) -> None:
    crowd = [PersonSeed(id=f"U0CROWD{at}", name=f"crowd{at}") for at in range(1100)]
    last = PersonSeed(id="U0LAST", name="zoe", real_name="Zoë Last")
    with local_slack(MANIFEST, seed=Seed(people=(*DEFAULT_PEOPLE, *crowd, last))) as slack:
        wizard.knows(slack)
        wizard.finishes(POLICY_STEP, "ml-", "bob", "zoë", "", "")
        pages = len(slack.calls("users.list"))
    assert "lead: [U0LAST]" in written(wizard)
    assert pages == 2


def test_a_long_list_of_matches_is_cut(wizard: Wizard) -> None:
    crowd = [PersonSeed(id=f"U0CROWD{at}", name=f"crowd{at}") for at in range(12)]
    with local_slack(MANIFEST, seed=Seed(people=(*DEFAULT_PEOPLE, *crowd))) as slack:
        wizard.knows(slack)
        screen = wizard.finishes(POLICY_STEP, "ml-", "crowd")
    assert "  10  Crowd9 (@crowd9)\n  and 2 more. Type a number, or more of the name." in screen


def test_a_rate_limit_only_delays_the_list(wizard: Wizard, slack: LocalSlack) -> None:
    slack.rate_limit("users.list", retry_after=0)
    wizard.finishes(POLICY_STEP, "ml-", *REST)
    assert "lead: [U0ALICE]" in written(wizard)


def test_a_lone_approver_is_warned(wizard: Wizard) -> None:
    screen = wizard.finishes(POLICY_STEP, "ml-", "bob", "bob", "", "")
    assert "You're the only approver, so no one can approve your own requests for Production." in screen


def test_an_existing_policy_is_kept(wizard: Wizard) -> None:
    wizard.writes_policy()
    before = written(wizard)
    assert "✓ Policy: registrar.yml is valid" in wizard.finishes(POLICY_STEP)
    assert written(wizard) == before


def test_an_invalid_policy_ends_setup(wizard: Wizard) -> None:
    (wizard.folder / "registrar.yml").write_text("chanel: x\n")
    wizard.finishes(POLICY_STEP)
    assert isinstance(wizard.error, Misconfigured)
    assert "registrar.yml: " in str(wizard.error)


def test_nothing_is_written_before_the_last_answer(wizard: Wizard) -> None:
    wizard.finishes(POLICY_STEP, "ml-", "bob", "alice")
    assert list(wizard.folder.iterdir()) == []
