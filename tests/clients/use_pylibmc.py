"""The scenario with pylibmc (libmemcached)."""

import time

import pylibmc

from scenario import VALUE_LARGE, many, reconnects, refuses, same, server

HOST, PORT = server()


def connect(**behaviours):
    """A client of the text protocol."""
    return pylibmc.Client([f"{HOST}:{PORT}"], binary=False, behaviors=behaviours)


client = connect(cas=True, tcp_nodelay=True)
same("flush_all", client.flush_all(), True)
same("get of nothing", client.get("a"), None)
same("set", client.set("a", b"one"), True)
same("get", client.get("a"), b"one")
same("add of what is there", client.add("a", b"x"), False)
same("add", client.add("b", b"2"), True)
same("replace", client.replace("b", b"2"), True)
same("replace of nothing", client.replace("c", b"x"), False)
same("append", client.append("b", b"3"), True)
same("prepend", client.prepend("b", b"1"), True)
refuses("append of nothing", lambda: 1 / client.append("c", b"x"), pylibmc.Error, ZeroDivisionError)
same("what was appended", client.get("b"), b"123")
same("multi-get", client.get_multi(["a", "b", "c"]), {"a": b"one", "b": b"123"})

value, cas = client.gets("a")
same("gets", value, b"one")
same("cas", client.cas("a", b"ONE", cas), True)
same("cas that is stale", client.cas("a", b"x", cas), False)
refuses("cas of nothing", lambda: client.cas("c", b"x", cas), pylibmc.NotFound)

same("set of a number", client.set("n", 123), True)
same("incr", client.incr("n", 7), 130)
same("decr", client.decr("n", 100), 30)
same("decr below 0", client.decr("n", 100), 0)
refuses("incr of nothing", lambda: client.incr("c", 1), pylibmc.NotFound)
refuses("incr of text", lambda: client.incr("a", 1), pylibmc.Error)
same("a number is a number", client.get("n"), 0)

same("touch", client.touch("a", 100), True)
same("touch of nothing", client.touch("c", 100), False)
same("delete", client.delete("a"), True)
same("delete of nothing", client.delete("a"), False)

same("set for a second", client.set("short", b"x", time=1), True)
time.sleep(2.6)
same("get of what has expired", client.get("short"), None)

same("set of a large value", client.set("large", VALUE_LARGE), True)
same("get of a large value", client.get("large"), VALUE_LARGE)
# libmemcached gives up a server for a while after such errors: a client of its own.
refusing = connect()
refuses("a value too large", lambda: refusing.set("large", b"x" * 2_000_000), pylibmc.Error)

refuses("a key with a blank", lambda: 1 / refusing.set("a b", b"x"), pylibmc.Error, ValueError, ZeroDivisionError)
refuses("a key too long", lambda: refusing.set("k" * 251, b"x"), pylibmc.Error, ValueError)
refusing.disconnect_all()

same("a key of 250", client.set("k" * 250, b"x"), True)
same("a key that is not ASCII", client.set("schlüssel", b"x"), True)
same("get under a key that is not ASCII", client.get("schlüssel"), b"x")

same("set of many", client.set_multi(many()), [])
same("get of many", client.get_multi(list(many())), many())
same("delete of many", client.delete_multi(list(many())), True)
same("get of many deleted", client.get_multi(list(many())), {})

thing = {"list": [1, 2.5, None], "text": "grüße", "tuple": (True, b"\x00")}
for key, value in {"object": thing, "number": 42, "truth": True, "text": "grüße", "float": 2.5}.items():
    same(f"set of {key}", client.set(key, value), True)
    same(f"get of {key}", client.get(key), value)
same("set compressed", client.set("compressed", b"x" * 100_000, min_compress_len=1000), True)
same("get compressed", client.get("compressed"), b"x" * 100_000)

silent = connect(_noreply=True)
for number in range(1000):
    silent.set(f"silent-{number % 10}", number)
same("the last of the unanswered", silent.get("silent-9"), 999)
silent.delete("silent-8")
same("an unanswered delete", silent.get_multi(["silent-8", "silent-9"]), {"silent-9": 999})

statistics = client.get_stats()[0][1]
same("a name in stats", {"curr_items", "get_hits", "version"} <= set(statistics), True)
same("version in stats", statistics["version"].startswith(b"1.6."), True)

same("flush_all", client.flush_all(), True)
same("get after flush_all", client.get_multi(["b", "object", "number"]), {})
client.disconnect_all()

for binary in (False, True):
    ketama = pylibmc.Client([f"{HOST}:{PORT}"], binary=binary, behaviors={"ketama": True, "cas": True, "tcp_nodelay": True})
    other = pylibmc.Client([f"{HOST}:{PORT}"], binary=binary, behaviors={"ketama": True, "cas": True})
    same("set by ketama", ketama.set("a", b"one"), True)
    first, second = ketama.gets("a"), other.gets("a")
    same("cas", ketama.cas("a", b"ONE", first[1]), True)
    same("cas of who was late", other.cas("a", b"x", second[1]), False)
    same("incr", (ketama.set("number", 10), ketama.incr("number", 5), ketama.decr("number", 20)), (True, 15, 0))
    same("set of a large value", ketama.set("large", VALUE_LARGE), True)
    same("get of a large value", ketama.get("large"), VALUE_LARGE)
    same("a key of 250", (ketama.set("k" * 250, b"x"), ketama.get("k" * 250)), (True, b"x"))
    same("set of many", ketama.set_multi(many(200)), [])
    same("get of many", ketama.get_multi(list(many(200))), many(200))
    same("delete", (ketama.delete("a"), ketama.get("a")), (True, None))

reconnects(lambda: connect().set("again", b"x") and connect().get("again") == b"x")
