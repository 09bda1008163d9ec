"""Environment of processes whose coverage is not measured.

Measuring makes the imports of a process a third slower. Where a test starts many processes that
others measure already, or kills them, that is time for nothing.
"""

UNMEASURED = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}
