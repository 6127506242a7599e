"""What consumers see: REST, server-sent events, WebSocket, GraphQL and the page, over HTTP."""
