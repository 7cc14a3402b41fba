"""The course around the lab: blanks, instant checks, quick questions, hand-in, collecting and grading.

``course`` imports the lab; the lab never imports ``course``. Students get the table of labs and what lies in
``practice``; the rest holds or computes answers and stays with the staff.
"""

from labkit.course.practice.ask import ask
from labkit.course.practice.check import check, ready
from labkit.course.practice.submit import hand_in, report_name
from labkit.course.practice.variant import begin

__all__ = ["ask", "begin", "check", "hand_in", "ready", "report_name"]
