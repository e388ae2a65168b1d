"""Defines profiles and their settings: what they are, which are named, and how to change one."""
