"""What runs beside Tapeline: local servers, dashboards, manifests. Nothing imports it."""
