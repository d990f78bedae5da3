"""Write the reference pages that follow from the code; `make docs` runs it, and a test fails where one has drifted."""
