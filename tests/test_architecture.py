"""The house's rules, read from the imports: who may import whom, and who owns which third-party package."""

import ast
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(p for top in ("services", "exporters") for p in (ROOT / top).rglob("*.py"))

# A place imports only from places below it; two places of one row never import each other, except where PAIRS says so.
LAYERS: list[set[str]] = [
    {"services.cli"},
    {"services.api", "services.model_server", "services.worker", "services.controller", "services.web", "exporters"},
    {"services.monitoring"},
    {"services.shared.load_trial"},
    {"services.shared.wiring", "services.shared.release_wiring"},
    {"services.shared.predictor", "services.shared.bulk_predictor", "services.shared.explanation"},
    {"services.shared.brief_predictor", "services.shared.tensor_predictor"},
    {"services.shared.shadow"},
    {"services.shared.infer_pictures", "services.shared.shadow_comparison"},
    {"services.shared.model_view", "services.shared.router"},
    {"services.shared.answer_document", "services.shared.answer_glimpse"},
    {"services.shared.answer"},
    {"services.shared.oip"},
    {"services.shared.inference"},
    {"services.shared.engine"},
    {"services.shared.observations"},
    {"services.shared.backends", "services.shared.repository", "services.shared.fleet", "services.shared.telemetry"},
    {"services.shared.jobs"},
    {"services.shared.release_store"},
    {"services.shared.keys", "services.shared.quotas", "services.shared.audit", "services.shared.embedded_valkey"},
    {"services.shared.feedback", "services.shared.drift"},
    {"services.shared.blobs"},
    {"services.shared.outbound"},
    {"services.shared.imaging", "services.shared.release", "services.shared.archive"},
    {"services.shared.config_pbtxt"},
    {"services.shared.model_config"},
    {"services.shared.tensors"},
    {"services.shared.redis_url"},
    {"services.shared.tracing"},
    {
        "services.shared.health_server",
        "services.shared.model_ref",
        "services.shared.priority",
        "services.shared.settings",
        "services.shared.version",
    },
    {"services.shared.asgi"},
    {
        "services.shared.cancellation",
        "services.shared.clock",
        "services.shared.courtesy",
        "services.shared.errors",
        "services.shared.deferred",
        "services.shared.durable_file",
        "services.shared.free_memory",
        "services.shared.random_bytes",
        "services.shared.redaction",
        "services.shared.release_memory",
        "services.shared.vital_tasks",
    },
]
PAIRS = {
    ("services.shared.fleet", "services.shared.repository"),  # seeding asks the repository's contract what there is
    ("services.shared.quotas", "services.shared.keys"),  # what is counted is a key
}

# Contracts, and the pure modules that count as one.
COMPOSITION_ROOTS = {"services.shared.wiring", "services.shared.release_wiring", "services.shared.inference.local"}
IMPLEMENTATIONS = {
    "services.shared.backends.onnx_runtime",
    "services.shared.backends.tensorrt",
    "services.shared.backends.fake",
    "services.shared.repository.disk",
    "services.shared.fleet.file",
    "services.shared.fleet.memory",
    "services.shared.keys.file",
    "services.shared.keys.memory",
    "services.shared.keys.redis",
    "services.shared.quotas.memory",
    "services.shared.quotas.redis",
    "services.shared.jobs.memory",
    "services.shared.jobs.memory_queue",
    "services.shared.jobs.redis",
    "services.shared.jobs.celery",
    "services.shared.release_store.memory",
    "services.shared.release_store.redis",
    "services.shared.observations.memory",
    "services.shared.observations.redis",
    "services.shared.drift.reference_files",
    "services.shared.blobs.disk",
    "services.shared.blobs.memory",
    "services.shared.blobs.obstore",
    "services.shared.outbound.client",
    "services.shared.outbound.fake",
    "services.shared.inference.fake",
    "services.shared.inference.local",
    "services.shared.inference.triton",
    "services.shared.engine.engine",
    "services.shared.tracing.memory",
    "services.shared.tracing.otlp",
}

# package -> the only places that may import it
OWNERS: dict[str, tuple[str, ...]] = {
    "torch": ("exporters",),
    "onnx": ("exporters",),
    "sklearn": ("exporters",),
    "safetensors": ("exporters",),
    "onnxruntime": (
        "services.shared.backends.onnx_runtime_session",
        "services.shared.backends.onnx_runtime_values",
        "services.cli.doctor",
        "exporters",
    ),
    "tensorrt": ("services.shared.backends.tensorrt_module",),
    "PIL": ("services.shared.imaging", "services.cli.measure.pictures", "exporters"),
    "cv2": ("services.shared.imaging", "exporters"),
    "fastapi": ("services.api",),
    "typer": ("services.cli",),
    "prometheus_client": ("services.shared.telemetry.exposition",),
    "tritonclient": (
        "services.shared.inference.triton",
        "services.shared.config_pbtxt",
        "services.shared.oip",
        "services.model_server",
    ),
    "grpc": ("services.model_server", "services.shared.inference.triton"),
    "limits": ("services.shared.quotas",),
    "celery": ("services.shared.jobs.celery_app", "services.worker"),
    "kombu": ("services.shared.jobs.celery_app", "services.worker"),
    "httpcore": ("services.shared.outbound",),
    "httpx": ("services.cli", "services.controller.queries", "services.web.forward", "exporters.source_file"),
    "python_multipart": ("services.api.uploads", "services.api.form_stream", "services.api.job_body"),
    "yaml": ("services.shared.release.plan_yaml",),
    "redis": (
        "services.shared.redis_url",
        "services.shared.keys.redis",
        "services.shared.quotas.redis",
        "services.shared.jobs.redis",
        "services.shared.release_store.redis",
        "services.shared.observations.redis",
        "services.controller",
        "services.cli.backup.redis",
    ),
    "grafana_foundation_sdk": ("services.monitoring.dashboards.grafana",),
    "opentelemetry": ("services.shared.tracing.otlp",),
    "obstore": ("services.shared.blobs.obstore", "exporters"),
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """Every imported module with its line; `from package import module` counts as the module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module, node.lineno
            base = ROOT.joinpath(*node.module.split("."))
            for alias in node.names:
                if (base / f"{alias.name}.py").exists() or (base / alias.name).is_dir():
                    yield f"{node.module}.{alias.name}", node.lineno


def within(module: str, place: str) -> bool:
    return module == place or module.startswith(place + ".")


def layer_of(module: str) -> tuple[int, str] | None:
    return next(((i, place) for i, row in enumerate(LAYERS) for place in row if within(module, place)), None)


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_go_down_only(path: Path) -> None:
    module = module_of(path)
    here = layer_of(module)
    assert here or module in ("services", "services.shared"), f"{module} has no place in the house"
    for imported, line in imports_of(path):
        there = layer_of(imported)
        if here is None or there is None or here[1] == there[1]:
            continue
        allowed = there[0] > here[0] or (here[1], there[1]) in PAIRS
        assert allowed, f"{module}:{line} imports {imported}, which is not below it"


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_only_composition_roots_import_implementations(path: Path) -> None:
    module = module_of(path)
    is_root = module in COMPOSITION_ROOTS or path.name in ("parts.py", "__main__.py")
    for imported, line in imports_of(path):
        same_folder = imported.rpartition(".")[0] == module.rpartition(".")[0]
        if imported in IMPLEMENTATIONS and not is_root and not same_folder:
            pytest.fail(f"{module}:{line} imports the implementation {imported}: take it as a parameter")


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_packages_are_imported_by_their_owners_only(path: Path) -> None:
    module = module_of(path)
    for imported, line in imports_of(path):
        owners = OWNERS.get(imported.partition(".")[0])
        if owners is not None and not any(within(module, owner) for owner in owners):
            pytest.fail(f"{module}:{line} imports {imported}, which belongs to {', '.join(owners)}")


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 300, f"{path.name} holds two ideas"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno
            assert lines <= 60, f"{module_of(path)}: {node.name} has {lines} lines"


def test_every_implementation_named_here_exists() -> None:
    assert {module_of(p) for p in SOURCES} >= IMPLEMENTATIONS


def test_no_other_distribution_ships_our_package_names() -> None:
    owners = importlib.metadata.packages_distributions()
    for name in ("services", "exporters"):
        assert set(owners.get(name, ["grayscale"])) <= {"grayscale"}


def test_serving_needs_no_pytorch() -> None:
    assert "torch" not in {line.split("==")[0] for line in (ROOT / "requirements/serve.txt").read_text().splitlines()}
    assert sys.version_info >= (3, 11)


def test_the_lock_names_no_index_and_no_local_path() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        for line in path.read_text().splitlines():
            assert not line.startswith("-"), f"{path.name}: {line}"
            assert "://" not in line, f"{path.name}: {line}"
            assert "@ " not in line, f"{path.name}: {line}"
