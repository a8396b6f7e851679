"""${message}."""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """${message}."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Refuse: the audit is never thrown away. Raises RuntimeError."""
    raise RuntimeError("The ledger only goes forward; restore a copy instead.")
