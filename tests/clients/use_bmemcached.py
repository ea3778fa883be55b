"""The scenario with python-binary-memcached, over SASL where USER_NAME and USER_PASSWORD are given."""

import os
import time

import bmemcached

from scenario import VALUE_LARGE, many, reconnects, refuses, same, server

where = ("%s:%d" % server(),)


def connect(password=os.environ.get("USER_PASSWORD")):
    """A client of its own."""
    return bmemcached.Client(where, os.environ.get("USER_NAME"), password)


client = connect()
same("flush_all", client.flush_all(), True)
same("get of nothing", client.get("a"), None)
same("set", client.set("a", "one"), True)
same("get", client.get("a"), "one")
same("add of what is there", client.add("a", "x"), False)
same("replace of nothing", client.replace("c", "x"), False)

other = connect()
value, unique = client.gets("a")
same("gets", value, "one")
same("the others' gets", other.gets("a"), ("one", unique))
same("cas", client.cas("a", "ONE", unique), True)
same("cas of who was late", other.cas("a", "x", unique), False)

same("incr that creates", client.incr("number", 5, default=10), 10)
same("incr", client.incr("number", 5), 15)
same("decr", client.decr("number", 20), 0)
same("delete", client.delete("a"), True)
same("get of what was deleted", client.get("a"), None)

same("set for a second", client.set("short", "x", time=1), True)
time.sleep(2.6)
same("get of what has expired", client.get("short"), None)

same("set of a large value", client.set("large", VALUE_LARGE, compress_level=0), True)
same("get of a large value", client.get("large"), VALUE_LARGE)
same("a key of 250", client.set("k" * 250, "x"), True)
same("get of a key of 250", client.get("k" * 250), "x")

same("set of many", client.set_multi(many(200)), [])
same("get of many", client.get_multi(list(many(200))), many(200))
same("stats", "curr_items" in next(iter(client.stats().values())), True)

if "USER_NAME" in os.environ:
    refuses("a wrong password", lambda: connect("wrong").get("number"), bmemcached.exceptions.MemcachedException)

reconnects(lambda: connect().set("again", "x") and connect().get("again") == "x")
