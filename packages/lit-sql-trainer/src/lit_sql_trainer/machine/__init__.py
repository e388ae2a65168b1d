"""Knows this computer: versions, ports, accelerators, locks, and how a process ends."""
