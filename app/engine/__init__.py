"""The block engine: Faust's agents, groups and tables, fed whole fetches instead of records."""
