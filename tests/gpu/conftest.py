from __future__ import annotations

import pytest

from services.shared.backends.cuda_driver import Cuda, open_cuda
from services.shared.errors import InferenceFailed


@pytest.fixture(scope="session")
def cuda() -> Cuda:
    """The GPU. Without one the test is skipped wherever it runs, because a GPU is nothing that can be installed."""
    try:
        return open_cuda()
    except InferenceFailed as error:
        pytest.skip(f"needs an NVIDIA GPU: {error.detail}")
