"""What every face of the one port shares: the route table, credentials, the policy, bodies and streams.

Below the faces (api, web, dialects), above the engine, and ignorant of both sides' words: it knows routes,
principals and error codes, but no vendor, no run and no job. See docs/decisions/0002-http-layer.md.
"""
