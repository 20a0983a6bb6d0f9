"""What the store takes and gives: plain, frozen, columnar records that know no SQL.

Clusters are numbered 0..K-1 within a clustering. Latencies are milliseconds, times are UTC.
"""

from hdap.fleet_data.records.evidence_records import HeldOutRecord, LearningRecord
from hdap.fleet_data.records.fleet_records import (
    Bools,
    ClusteringHead,
    ClusteringRecord,
    ClusterRecord,
    Devices,
    Floats,
    IngestRecord,
    Ints,
    Measurements,
    ModelCounts,
    ModelRecord,
    QueryLimits,
    QueryResult,
    QueryRows,
    SurrogateRecord,
    TextColumn,
)
from hdap.fleet_data.records.network_records import (
    CompressionStepRecord,
    EpochRecord,
    LevelPlanRecord,
    LevelRecord,
    OperatingPointRecord,
    PortfolioRecord,
    VariantClusterRecord,
    VariantRecord,
)
from hdap.fleet_data.records.search_records import (
    AssignmentBatch,
    ImportanceRecord,
    NetworkRecord,
    StudyRecord,
    TrialBatch,
    VerificationRecord,
)

__all__ = [
    "AssignmentBatch",
    "Bools",
    "ClusterRecord",
    "ClusteringHead",
    "ClusteringRecord",
    "CompressionStepRecord",
    "Devices",
    "EpochRecord",
    "Floats",
    "HeldOutRecord",
    "ImportanceRecord",
    "IngestRecord",
    "Ints",
    "LearningRecord",
    "LevelPlanRecord",
    "LevelRecord",
    "Measurements",
    "ModelCounts",
    "ModelRecord",
    "NetworkRecord",
    "OperatingPointRecord",
    "PortfolioRecord",
    "QueryLimits",
    "QueryResult",
    "QueryRows",
    "StudyRecord",
    "SurrogateRecord",
    "TextColumn",
    "TrialBatch",
    "VariantClusterRecord",
    "VariantRecord",
    "VerificationRecord",
]
