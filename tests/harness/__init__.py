"""Real processes for tests and for the demo: ZooKeeper, Redis, proxies, xpipe-meta, xpipe-console.

Standard library plus redis, requests and kazoo (Debian packages). Start with `cluster.World`.
"""
