"""Everything that a plugin (a registry adapter or a metric source) imports.

docs/how-to/write-a-registry-adapter.md and docs/how-to/write-a-source.md show how to write one. Names in `__all__`
aren't renamed or removed without a deprecation period. All other modules can change at any time.
"""

from bot.domain.core.errors import (
    BadInput,
    Misconfigured,
    RegistryRefused,
    RegistryUnreachable,
    UnknownModel,
    UnknownRun,
    UnknownVersion,
    Unreachable,
)
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.monitoring.readings import Answer, CheckOutcome
from bot.domain.policy.policy import Source
from bot.domain.registry.model import (
    Dataset,
    LoggedValue,
    ModelInfo,
    ModelPackage,
    RegistryProduct,
    RunInfo,
    Signature,
    SignatureColumn,
    Stage,
    VersionInfo,
)
from bot.ports import (
    NO_LINKS,
    ExperimentTracker,
    MetricSource,
    ModelRegistry,
    Observer,
    OpenRegistry,
    Query,
    ReadsFiles,
    RegistryAdapter,
    RegistryLinks,
    RegistryOptions,
    StoredFile,
    UnsetSetting,
    VersionFiles,
)
from bot.sources import SourceDependencies, bool_option, check_options, error_answer, join_counts, wrong_option

__all__ = [
    "NO_LINKS",
    "Answer",
    "BadInput",
    "CheckOutcome",
    "Code",
    "Dataset",
    "ExperimentTracker",
    "LoggedValue",
    "MetricSource",
    "Misconfigured",
    "ModelInfo",
    "ModelPackage",
    "ModelRegistry",
    "Name",
    "Observer",
    "OpenRegistry",
    "Query",
    "ReadsFiles",
    "RegistryAdapter",
    "RegistryLinks",
    "RegistryOptions",
    "RegistryProduct",
    "RegistryRefused",
    "RegistryUnreachable",
    "RunInfo",
    "Sentence",
    "Signature",
    "SignatureColumn",
    "Source",
    "SourceDependencies",
    "Stage",
    "StoredFile",
    "UnknownModel",
    "UnknownRun",
    "UnknownVersion",
    "Unreachable",
    "UnsetSetting",
    "VersionFiles",
    "VersionInfo",
    "bool_option",
    "check_options",
    "error_answer",
    "join_counts",
    "say",
    "wrong_option",
]
