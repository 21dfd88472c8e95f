"""Settings of all tests: one hypothesis profile, strict ranks, a compilation cache, and a count of what was skipped."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2 --xla_cpu_multi_thread_eigen=false")

import hypothesis

hypothesis.settings.register_profile("suasion", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("suasion")


def pytest_terminal_summary(terminalreporter):
    """Count what was left out, by reason: nothing is skipped in silence."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason] = reasons.get(reason, 0) + 1
    slow = len(terminalreporter.stats.get("deselected", []))
    terminalreporter.write_line(f"left out: {slow} slow (make test-all runs them), {sum(reasons.values())} skipped")
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"  {count} x {reason}")
