"""How results are shown: tables, charts, CSV, verdicts and the report."""
