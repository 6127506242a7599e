"""The vocabulary: record schemas, their ids, and the codecs of one record and of one block."""
