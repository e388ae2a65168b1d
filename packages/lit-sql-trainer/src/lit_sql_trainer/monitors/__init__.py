"""Turns metric lines into alarms. Pure: it reads no file and stops nothing.

Each monitor compares the mean of the last `window` steps with a limit, most also with the first `window` steps, and
says nothing before both windows are full. Lines may come from any trainer; which keys are read is said in
docs/report.md. A value that a run does not measure is never an alarm. Reasons for the limits: docs/monitors.md.
"""

from lit_sql_trainer.monitors.book import Alarm, MonitorBook, replay
from lit_sql_trainer.monitors.rules import Monitor, Reading
from lit_sql_trainer.profile.monitors import MonitorSettings

__all__ = ["Alarm", "Monitor", "MonitorBook", "MonitorSettings", "Reading", "replay"]
