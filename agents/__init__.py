"""The arrows of the flow, one file each: the list of files is the data-flow diagram."""
