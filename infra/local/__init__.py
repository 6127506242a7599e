"""The local stack without Docker: Kafka, Redis and PostgreSQL on 127.0.0.1.

Run as ``python -m infra.local up|down|status``. See `infra.local.__main__`.
"""
