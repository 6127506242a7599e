"""The auditor: recomputes what the flow promises from the logs, by a path of its own.

It shares no code with the core: records are read with fastavro by the published schemas, bars are
recomputed by DuckDB, the catalog's files are read as data. It trusts nothing that the application
says of itself, and changes nothing but its own cursor.

    I1  every raw tick is accepted once, refused, a repeat, or rerouted
    I2  every closed bar equals its recompute, in Kafka, Redis and Postgres
    I3  digests of what the stores hold, to compare two runs by
    I4  revisions never go back; stores hold the newest emission, whole
    I5  the groups have committed the logs' ends
    I6  every refused record is in the dead letters once, whole, with its place and a reason
"""
