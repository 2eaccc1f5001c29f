"""The test files that take longest, by processor time.

The tests run two or three files at a time: were one of these the last, a core would have nothing to do.
"""

from __future__ import annotations

LONGEST = (
    *("test_browser.py", "test_exercises.py", "test_checks.py", "test_page.py", "test_site_pages.py"),
    *("test_outputs.py", "test_interruptions.py", "test_export.py", "test_wheel.py", "test_methods.py"),
    *("test_scenes.py", "test_mutation.py", "test_recipe.py", "test_shift.py", "test_panel.py", "test_benchmarks.py"),
    *("test_containers.py", "test_transformer.py"),
)
