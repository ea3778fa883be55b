"""The scenario with pymemcache."""

import pickle
import time

from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheError, MemcacheIllegalInputError
from pymemcache.serde import pickle_serde

from scenario import VALUE_LARGE, many, reconnects, refuses, same, server

client = Client(server(), default_noreply=False, timeout=30)
same("flush_all", client.flush_all(), True)
same("get of nothing", client.get("a"), None)
same("set", client.set("a", b"one"), True)
same("get", client.get("a"), b"one")
same("add of what is there", client.add("a", b"x"), False)
same("add", client.add("b", b"two"), True)
same("replace", client.replace("b", b"2"), True)
same("replace of nothing", client.replace("c", b"x"), False)
same("append", client.append("b", b"3"), True)
same("prepend", client.prepend("b", b"1"), True)
same("append of nothing", client.append("c", b"x"), False)
same("what was appended", client.get("b"), b"123")
same("multi-get", client.get_many(["a", "b", "c"]), {"a": b"one", "b": b"123"})

value, cas = client.gets("a")
same("gets", value, b"one")
same("cas", client.cas("a", b"ONE", cas), True)
same("cas that is stale", client.cas("a", b"x", cas), False)
same("cas of nothing", client.cas("c", b"x", cas), None)
same("gets_many", {key: value for key, (value, _) in client.gets_many(["a", "b"]).items()}, {"a": b"ONE", "b": b"123"})

same("incr", client.incr("b", 7), 130)
same("decr", client.decr("b", 100), 30)
same("decr below 0", client.decr("b", 100), 0)
same("incr of nothing", client.incr("c", 1), None)
refuses("incr of text", lambda: client.incr("a", 1), MemcacheError)

same("touch", client.touch("a", 100), True)
same("touch of nothing", client.touch("c", 100), False)
same("delete", client.delete("a"), True)
same("delete of nothing", client.delete("a"), False)

same("set for a second", client.set("short", b"x", expire=1), True)
time.sleep(2.6)
same("get of what has expired", client.get("short"), None)

same("set of a large value", client.set("large", VALUE_LARGE), True)
same("get of a large value", client.get("large"), VALUE_LARGE)
refuses("a value too large", lambda: client.set("large", b"x" * 2_000_000), MemcacheError, OSError)
client.close()

refuses("a key that is not ASCII", lambda: client.set("schlüssel", b"x"), MemcacheIllegalInputError)
refuses("a key with a blank", lambda: client.set("a b", b"x"), MemcacheIllegalInputError)
refuses("a key too long", lambda: client.set("k" * 251, b"x"), MemcacheIllegalInputError)
same("a key of 250", client.set("k" * 250, b"x"), True)

same("set of many", client.set_many(many()), [])
same("get of many", client.get_many(list(many())), many())
same("delete of many", client.delete_many(list(many())), True)
same("get of many deleted", client.get_many(list(many())), {})

for number in range(1000):
    client.set(f"silent-{number % 10}", b"%d" % number, noreply=True)
same("the last of the unanswered", client.get("silent-9"), b"999")
client.incr("silent-9", 1, noreply=True)
client.delete("silent-8", noreply=True)
same("unanswered incr and delete", client.get_many(["silent-8", "silent-9"]), {"silent-9": b"1000"})

statistics = client.stats()
same("a name in stats", b"curr_items" in statistics and b"get_hits" in statistics, True)
same("threads in stats", statistics[b"threads"] >= 1, True)
same("stats settings", b"maxbytes" in client.stats("settings"), True)
same("version", client.version().startswith(b"1.6."), True)
same("verbosity", client.raw_command("verbosity 0"), b"OK")

unicode = Client(server(), default_noreply=False, allow_unicode_keys=True)
same("set under a key that is not ASCII", unicode.set("schlüssel", b"x"), True)
same("get under a key that is not ASCII", unicode.get("schlüssel"), b"x")

thing = {"list": [1, 2.5, None], "text": "grüße", "tuple": (True, b"\x00")}
for serialising in (
    Client(server(), default_noreply=False, serde=pickle_serde),
    PooledClient(server(), default_noreply=False, serde=pickle_serde, max_pool_size=4),
    HashClient([server()], default_noreply=False, serde=pickle_serde),
):
    same("set of an object", serialising.set("object", thing), True)
    same("get of an object", serialising.get("object"), thing)
    same("set of a number", serialising.set("number", 42), True)
    same("get of a number", serialising.get("number"), 42)
    same("set of text", serialising.set("text", "grüße"), True)
    same("get of text", serialising.get("text"), "grüße")
    same("get of all of them", serialising.get_many(["object", "number"]), {"object": thing, "number": 42})
same("what an object is stored as", pickle.loads(client.get("object")), thing)

same("flush_all", client.flush_all(), True)
same("get after flush_all", client.get_many(["b", "object", "number"]), {})
client.quit()

reconnects(lambda: client.set("again", b"x") and client.get("again") == b"x")
