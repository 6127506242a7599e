"""Tapeline: market ticks on Kafka into exact bars."""
