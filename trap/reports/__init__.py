"""What reporters tell others of: their books, and what is held back for a person to look at."""

from trap.reports.book import Book
from trap.reports.report import Later, Refused, Report, Sending, State

__all__ = ["Book", "Later", "Refused", "Report", "Sending", "State"]
