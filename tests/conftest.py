"""Settings of all tests: one hypothesis profile, strict ranks, a compilation cache, what was skipped; and faults."""

import gc
import importlib.util
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2 --xla_cpu_multi_thread_eigen=false")

import hypothesis
import pytest

hypothesis.settings.register_profile("suasion", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("suasion")


_LEFT_OUT = {"slow": 0}


def pytest_deselected(items):
    """Every worker leaves out the same tests; each counts them."""
    _LEFT_OUT["slow"] += sum(item.get_closest_marker("slow") is not None for item in items)


def pytest_sessionfinish(session):
    """A worker tells its count to the process that started it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = _LEFT_OUT["slow"]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """What a worker has counted, in the process that started it."""
    _LEFT_OUT["slow"] = max(_LEFT_OUT["slow"], getattr(node, "workeroutput", {}).get("left_out", 0))


def pytest_terminal_summary(terminalreporter):
    """Count what was left out, by reason: nothing is skipped in silence."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason] = reasons.get(reason, 0) + 1
    slow = _LEFT_OUT["slow"]
    terminalreporter.write_line(f"left out: {slow} slow (make test-all runs them), {sum(reasons.values())} skipped")
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"  {count} x {reason}")


@pytest.fixture(scope="module", autouse=True)
def _programs_of_one_file():
    """Let compiled programs go at the end of a file: they take gigabytes, and more maps than Linux gives a process."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
        gc.collect()


def _quick_options():
    """Compiler options that save most of the compile time; XLA may not know them all."""
    import jax  # not before the settings above

    options = {}
    for name, value in (("xla_backend_optimization_level", 0), ("xla_cpu_use_fusion_emitters", False)):
        try:
            jax.jit(lambda x: x + 1, compiler_options={name: value})(0)
        except Exception:
            continue
        options[name] = value
    return options


@pytest.fixture(scope="session")
def quick():
    """`jax.jit` for functions that run once or twice: unoptimised code, compiled fast."""
    import jax

    options = _quick_options()

    def jit(f, **kwargs):
        return jax.jit(f, compiler_options=options, **kwargs)

    return jit


def _of_records(name):
    """A module beside the tests of the room `records` that is no test."""
    path = Path(__file__).with_name("records") / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"records_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def memory():
    """A folder in memory, where there is one: a flush takes no time there."""
    ram = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=ram if ram.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def faults():
    """A disk that fails, and a run in miniature on it."""
    return _of_records("faults")


@pytest.fixture(scope="session")
def tell():
    """`tell(fault, outcome)`: docs/reliability.md must say the same."""
    return _of_records("outcomes").tell


@pytest.fixture(scope="session")
def rows():
    """Fault and outcome of every row of that table."""
    return _of_records("outcomes").rows
