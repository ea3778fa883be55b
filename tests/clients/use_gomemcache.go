// The scenario with gomemcache.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

func same(what string, found, expected interface{}) {
	if found != expected {
		fmt.Fprintf(os.Stderr, "FAILED: %s: found %.200v, expected %.200v\n", what, found, expected)
		os.Exit(1)
	}
}

func connect() *memcache.Client {
	client := memcache.New(os.Args[1])
	client.Timeout = 30 * time.Second
	return client
}

func text(client *memcache.Client, key string) string {
	item, err := client.Get(key)
	if err != nil {
		return err.Error()
	}
	return string(item.Value)
}

func main() {
	client, other := connect(), connect()
	miss := memcache.ErrCacheMiss
	client.Delete("a")
	same("get of nothing", text(client, "a"), miss.Error())
	same("set", client.Set(&memcache.Item{Key: "a", Value: []byte("one"), Flags: 7}), nil)
	same("get", text(client, "a"), "one")
	same("add of what is there", client.Add(&memcache.Item{Key: "a", Value: []byte("x")}), memcache.ErrNotStored)

	first, err := client.Get("a")
	same("get with its version", err, nil)
	same("flags", first.Flags, uint32(7))
	second, err := other.Get("a")
	same("the other's", err, nil)
	first.Value = []byte("ONE")
	second.Value = []byte("x")
	same("cas", client.CompareAndSwap(first), nil)
	same("cas of who was late", other.CompareAndSwap(second), memcache.ErrCASConflict)

	same("set of a number", client.Set(&memcache.Item{Key: "number", Value: []byte("10")}), nil)
	number, err := client.Increment("number", 5)
	same("increment", err, nil)
	same("what it gives", number, uint64(15))
	number, err = client.Decrement("number", 20)
	same("decrement", err, nil)
	same("what that gives", number, uint64(0))
	same("delete", client.Delete("a"), nil)
	same("delete of nothing", client.Delete("a"), miss)

	same("set for a second", client.Set(&memcache.Item{Key: "short", Value: []byte("x"), Expiration: 1}), nil)
	time.Sleep(2600 * time.Millisecond)
	same("get of what has expired", text(client, "short"), miss.Error())

	large := bytes.Repeat([]byte("\x00\xff\r\nEND\r\n0123456789"), 50000)
	same("set of a large value", client.Set(&memcache.Item{Key: "large", Value: large}), nil)
	same("get of a large value", text(client, "large") == string(large), true)
	long := strings.Repeat("k", 250)
	same("a key of 250", client.Set(&memcache.Item{Key: long, Value: []byte("x")}), nil)
	same("get of a key of 250", text(client, long), "x")

	var keys []string
	for at := 0; at < 200; at++ {
		key := fmt.Sprintf("many-%d", at)
		keys = append(keys, key)
		same("set of many", client.Set(&memcache.Item{Key: key, Value: []byte(strings.Repeat(key, at%20+1))}), nil)
	}
	found, err := client.GetMulti(keys)
	same("get of many", err, nil)
	same("how many", len(found), 200)
	for at, key := range keys {
		same(key, string(found[key].Value), strings.Repeat(key, at%20+1))
	}

	if restart := os.Getenv("RESTART"); restart != "" {
		same("a restart", exec.Command("sh", "-c", restart).Run(), nil)
		for attempt := 0; attempt < 100; attempt++ {
			if client.Set(&memcache.Item{Key: "again", Value: []byte("x")}) == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		same("after a restart", text(client, "again"), "x")
	}
}
