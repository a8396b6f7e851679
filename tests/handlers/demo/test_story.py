"""The story's check that what was approved is what's stored."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess

import pytest

from handlers.demo.story import DemoStory, StoryError
from localslack import LocalSlack
from tests.support.app.live_world import monitored_app


def test_the_story_fails_if_the_files_are_not_the_approved_ones(slack: LocalSlack, tmp_path: Path) -> None:
    refused = CompletedProcess("registrar verify", 6, stderr="model.skops was changed after the approval.\n")
    with monitored_app(slack, tmp_path) as (app, _, _):
        story = DemoStory(app.slack, lambda line: None, lambda: refused)
        with pytest.raises(StoryError, match=r"“Alice verifies the files”: model\.skops was changed"):
            story.play()
