// The scenario with spymemcached, by text and by the binary protocol.
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import net.spy.memcached.AddrUtil;
import net.spy.memcached.CASResponse;
import net.spy.memcached.CASValue;
import net.spy.memcached.ConnectionFactoryBuilder;
import net.spy.memcached.MemcachedClient;
import net.spy.memcached.transcoders.SerializingTranscoder;

public final class UseSpymemcached {
    private static void same(String what, Object found, Object expected) {
        if (!Objects.equals(found, expected)) {
            System.err.printf("FAILED: %s: found %.200s, expected %.200s%n", what, found, expected);
            System.exit(1);
        }
    }

    private static MemcachedClient connect(String where, ConnectionFactoryBuilder.Protocol protocol) throws Exception {
        SerializingTranscoder plain = new SerializingTranscoder();
        plain.setCompressionThreshold(Integer.MAX_VALUE);
        return new MemcachedClient(
                new ConnectionFactoryBuilder().setProtocol(protocol).setOpTimeout(30_000).setMaxReconnectDelay(1)
                        .setTranscoder(plain).build(),
                AddrUtil.getAddresses(List.of(where)));
    }

    private static void scenario(String where, ConnectionFactoryBuilder.Protocol protocol) throws Exception {
        MemcachedClient client = connect(where, protocol);
        MemcachedClient other = connect(where, protocol);
        same("flush", client.flush().get(), true);
        same("get of nothing", client.get("a"), null);
        same("set", client.set("a", 0, "one").get(), true);
        same("get", client.get("a"), "one");
        same("add of what is there", client.add("a", 0, "x").get(), false);
        same("replace of nothing", client.replace("c", 0, "x").get(), false);

        CASValue<Object> first = client.gets("a");
        CASValue<Object> second = other.gets("a");
        same("gets", first.getValue(), "one");
        same("cas", client.cas("a", first.getCas(), "ONE"), CASResponse.OK);
        same("cas of who was late", other.cas("a", second.getCas(), "x"), CASResponse.EXISTS);

        same("incr of nothing", client.incr("nothing", 1), -1L);
        same("incr that creates", client.incr("number", 5, 10), 10L);
        same("incr", client.incr("number", 5), 15L);
        same("decr", client.decr("number", 20), 0L);
        same("touch", client.touch("a", 100).get(), true);
        same("delete", client.delete("a").get(), true);
        same("delete of nothing", client.delete("a").get(), false);

        same("set for a second", client.set("short", 1, "x").get(), true);
        Thread.sleep(2600);
        same("get of what has expired", client.get("short"), null);

        String large = "\u0000\r\nEND\r\n0123456789".repeat(50_000);
        same("set of a large value", client.set("large", 0, large).get(), true);
        same("get of a large value", large.equals(client.get("large")), true);
        same("a key of 250", client.set("k".repeat(250), 0, "x").get(), true);
        same("get of a key of 250", client.get("k".repeat(250)), "x");

        Map<String, Object> many = new HashMap<>();
        for (int number = 0; number < 200; number++) {
            many.put("many-" + number, String.valueOf(number).repeat(number % 100 + 1));
        }
        for (Map.Entry<String, Object> entry : many.entrySet()) {
            same("set of many", client.set(entry.getKey(), 0, entry.getValue()).get(), true);
        }
        same("get of many", client.getBulk(many.keySet()), many);
        same("stats", client.getStats().values().iterator().next().containsKey("curr_items"), true);

        String restart = System.getenv("RESTART");
        if (restart != null && !restart.isEmpty()) {
            same("a restart", new ProcessBuilder("sh", "-c", restart).inheritIO().start().waitFor(), 0);
            Object again = null;
            for (int attempt = 0; attempt < 100 && !"x".equals(again); attempt++) {
                try {
                    client.set("again", 0, "x").get();
                    again = client.get("again");
                } catch (Exception lost) {
                    Thread.sleep(100);
                }
            }
            same("after a restart", again, "x");
        }
        client.shutdown();
        other.shutdown();
    }

    public static void main(String[] arguments) throws Exception {
        System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
        java.util.logging.Logger.getLogger("net.spy.memcached").setLevel(java.util.logging.Level.OFF);
        scenario(arguments[0], ConnectionFactoryBuilder.Protocol.TEXT);
        scenario(arguments[0], ConnectionFactoryBuilder.Protocol.BINARY);
        System.exit(0);
    }
}
