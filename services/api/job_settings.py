"""What the API does with jobs, from variables `GRAYSCALE_…`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from services.api.job_limits import JobLimits, job_limits
from services.shared.blobs.settings import BlobSettings, blob_settings
from services.shared.jobs.settings import JobStoreSettings, job_store_settings
from services.shared.settings import Variables


@dataclass(frozen=True, slots=True)
class JobSettings:
    """Bounds of a job's body, where its images are staged, and the rules of the store that all processes share."""

    limits: JobLimits = field(default_factory=JobLimits)
    blobs: BlobSettings = field(default_factory=lambda: BlobSettings(Path(".grayscale/blobs")))
    store: JobStoreSettings = field(default_factory=JobStoreSettings)


def job_settings(variables: Variables, data_dir: Path) -> JobSettings:
    """Raises SettingsError naming the variable."""
    return JobSettings(job_limits(variables), blob_settings(variables, data_dir), job_store_settings(variables))
