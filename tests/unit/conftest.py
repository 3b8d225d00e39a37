"""Hypothesis for every unit test: no deadline, because a busy machine is no fault of the code."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("frevo", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("frevo")
