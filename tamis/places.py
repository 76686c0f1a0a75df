"""Where Tamis itself lies: its code, and the configurations that it ships."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The folder that holds our packages: a checkout, or what a zip was unpacked to."""
CONF = ROOT / "conf"
