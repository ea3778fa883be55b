"""The scenario with python-memcached."""

import time

import memcache

from scenario import VALUE_LARGE, many, reconnects, refuses, same, server

HOST, PORT = server()
client = memcache.Client([f"{HOST}:{PORT}"], cache_cas=True, socket_timeout=30)
client.flush_all()
same("get of nothing", client.get("a"), None)
same("set", client.set("a", b"one"), True)
same("get", client.get("a"), b"one")
same("add of what is there", client.add("a", b"x"), 0)
same("add", client.add("b", "2"), True)
same("replace", client.replace("b", "2"), True)
same("replace of nothing", client.replace("c", "x"), 0)
same("append", client.append("b", "3"), True)
same("prepend", client.prepend("b", "1"), True)
same("append of nothing", client.append("c", "x"), 0)
same("what was appended", client.get("b"), "123")
same("multi-get", client.get_multi(["a", "b", "c"]), {"a": b"one", "b": "123"})

same("gets", client.gets("a"), b"one")
same("cas", client.cas("a", b"ONE"), True)
same("cas that is stale", client.cas("a", b"x"), 0)
client.reset_cas()

same("incr", client.incr("b", 7), 130)
same("decr", client.decr("b", 100), 30)
same("decr below 0", client.decr("b", 100), 0)
same("incr of nothing", client.incr("c", 1), None)
refuses("incr of text", lambda: client.incr("a", 1), ValueError)

same("touch", client.touch("a", 100), 1)
same("touch of nothing", client.touch("c", 100), 0)
same("delete", client.delete("a"), 1)
same("what was deleted", client.get("a"), None)

same("set for a second", client.set("short", b"x", time=1), True)
time.sleep(2.6)
same("get of what has expired", client.get("short"), None)

same("set of a large value", client.set("large", VALUE_LARGE), True)
same("get of a large value", client.get("large"), VALUE_LARGE)

refuses("a key with a control character", lambda: client.set("a\nb", b"x"), memcache.Client.MemcachedKeyError)
refuses("a key with a blank", lambda: client.set("a b", b"x"), memcache.Client.MemcachedKeyError)
refuses("a key too long", lambda: client.set("k" * 251, b"x"), memcache.Client.MemcachedKeyError)
same("a key of 250", client.set("k" * 250, b"x"), True)
same("a key that is not ASCII", client.set("schlüssel", b"x"), True)
same("get under a key that is not ASCII", client.get("schlüssel"), b"x")

same("set of many", client.set_multi(many()), [])
same("get of many", client.get_multi(list(many())), many())
same("delete of many", client.delete_multi(list(many())), 1)
same("get of many deleted", client.get_multi(list(many())), {})

thing = {"list": [1, 2.5, None], "text": "grüße", "tuple": (True, b"\x00")}
for key, value in {"object": thing, "number": 42, "text": "grüße", "float": 2.5}.items():
    same(f"set of {key}", client.set(key, value), True)
    same(f"get of {key}", client.get(key), value)
same("set compressed", client.set("compressed", b"x" * 100_000, min_compress_len=1000), True)
same("get compressed", client.get("compressed"), b"x" * 100_000)

for number in range(1000):
    client.set(f"silent-{number % 10}", number, noreply=True)
same("the last of the unanswered", client.get("silent-9"), 999)
client.delete("silent-8", noreply=True)
client.incr("silent-9", 1, noreply=True)
same("unanswered incr and delete", client.get_multi(["silent-8", "silent-9"]), {"silent-9": 1000})

statistics = client.get_stats()[0][1]
same("a name in stats", {"curr_items", "get_hits", "version"} <= set(statistics), True)
same("version in stats", statistics["version"].startswith("1.6."), True)
same("stats settings", "maxbytes" in client.get_stats("settings")[0][1], True)

client.flush_all()
same("get after flush_all", client.get_multi(["b", "object", "number"]), {})
client.disconnect_all()

reconnects(lambda: client.set("again", b"x") and client.get("again") == b"x")
