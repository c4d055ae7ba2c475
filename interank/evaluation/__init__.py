"""How good a run is: intervals, tables and the report."""
