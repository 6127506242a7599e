"""Who may call the API: API keys, JWTs, roles, limits, and the log of what admins did."""
