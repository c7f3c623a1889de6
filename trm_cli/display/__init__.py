"""Drawing: grids, tables, progress. Draws what it is given and decides nothing."""
