"""What a workspace answers, and is asked: plain data that is the same here, over HTTP and in a browser."""

from automc.workspace.answers.campaigns import (
    CampaignDetail,
    CampaignRequest,
    CampaignSummary,
    ConfigFile,
    EvaluationDetail,
    EvaluationRow,
    FileInfo,
    RecipeSummary,
)
from automc.workspace.answers.catalog import AgentInfo, DeviceInfo, PresetInfo
from automc.workspace.answers.shared import MOST, Answer, Named, Page
from automc.workspace.answers.tables import (
    NetworkAnswer,
    NetworkRequest,
    OperatorAnswer,
    OperatorRow,
    TableComparison,
    TableDetail,
    TableSummary,
)

__all__ = [
    "MOST",
    "AgentInfo",
    "Answer",
    "CampaignDetail",
    "CampaignRequest",
    "CampaignSummary",
    "ConfigFile",
    "DeviceInfo",
    "EvaluationDetail",
    "EvaluationRow",
    "FileInfo",
    "Named",
    "NetworkAnswer",
    "NetworkRequest",
    "OperatorAnswer",
    "OperatorRow",
    "Page",
    "PresetInfo",
    "RecipeSummary",
    "TableComparison",
    "TableDetail",
    "TableSummary",
]
