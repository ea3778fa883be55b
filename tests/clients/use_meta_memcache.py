"""The scenario with meta-memcache, which speaks meta commands only."""

import time

from meta_memcache import CacheClient, Key, ServerAddress
from meta_memcache.configuration import LeasePolicy, StalePolicy, connection_pool_factory_builder

from scenario import VALUE_LARGE, many, reconnects, same, server


def connect():
    """A client of its own."""
    factory = connection_pool_factory_builder(recv_timeout=30, connection_timeout=30, mark_down_period_s=0.01)
    return CacheClient.cache_client_from_servers([ServerAddress(*server())], factory)


client, other = connect(), connect()
client.delete("a")
same("delete of nothing", client.delete("a"), False)
same("get of nothing", client.get("a"), None)
same("set", client.set("a", "one", ttl=100), True)
same("get", client.get("a"), "one")

value, unique = client.get_cas("a")
same("get with its version", value, "one")
same("cas", client.set("a", "ONE", ttl=100, cas_token=unique), True)
same("cas of who was late", other.set("a", "x", ttl=100, cas_token=unique), False)
same("what won", other.get("a"), "ONE")

same("delta of nothing", client.delta_and_get("number", 1), None)
same("delta that creates", client.delta_initialize_and_get("number", 1, initial_value=10, initial_ttl=100), 10)
same("delta", client.delta_and_get("number", 5), 15)
same("delta down", client.delta_and_get("number", -20), 0)
same("touch", client.touch("number", ttl=50), True)

lease = LeasePolicy(ttl=10, miss_retries=1, miss_retry_wait=0.01)
same("who is to fill in", client.get_or_lease("leased", lease), None)
same("who is not", other.get_or_lease("leased", lease), None)
same("filled in", client.set("leased", "x", ttl=100), True)
same("what was filled in", other.get_or_lease("leased", lease), "x")

stale = StalePolicy(mark_stale_on_deletion_ttl=30)
same("invalidated", client.invalidate("leased", stale_policy=stale), True)
same("stale, to one", client.get("leased"), None)
same("stale, to the others", other.get("leased"), "x")

same("set for a second", client.set("short", "x", ttl=1), True)
time.sleep(2.6)
same("get of what has expired", client.get("short"), None)

same("set of a large value", client.set("large", VALUE_LARGE, ttl=100), True)
same("get of a large value", client.get("large"), VALUE_LARGE)
same("a key of 250", client.set("k" * 250, "x", ttl=100), True)
same("get of a key of 250", client.get("k" * 250), "x")
same("a key in another alphabet", client.set("schlüssel", "x", ttl=100), True)
same("get of it", client.get("schlüssel"), "x")

for key, value in many(200).items():
    same("set of many", client.set(key, value, ttl=100), True)
found = client.multi_get([Key(key) for key in many(200)])
same("get of many", {key.key: value for key, value in found.items()}, many(200))
same("delete", client.delete("a"), True)
same("get of what was deleted", client.get("a"), None)

reconnects(lambda: client.set("again", "x", ttl=100) and client.get("again") == "x")
