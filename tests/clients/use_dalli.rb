# The scenario with dalli, which speaks the binary protocol.
require 'dalli'

def same(what, found, expected)
  return if found == expected

  abort "FAILED: #{what}: found #{found.inspect[0, 200]}, expected #{expected.inspect[0, 200]}"
end

def connect
  Dalli::Client.new(ARGV[0], socket_timeout: 30, value_max_bytes: 1 << 20, socket_max_failures: 100, down_retry_delay: 0)
end

client = connect
other = connect
client.flush_all
same 'get of nothing', client.get('a'), nil
client.set('a', 'one')
same 'get', client.get('a'), 'one'
same 'add of what is there', client.add('a', 'x'), false
client.replace('c', 'x')
same 'replace of nothing', client.get('c'), nil

value, unique = client.get_cas('a')
same 'get with its version', value, 'one'
same 'cas', client.set_cas('a', 'ONE', unique) ? true : false, true
same 'cas of who was late', other.set_cas('a', 'x', unique), false
same 'cas by block', client.cas('a') { |old| "#{old}!" } ? true : false, true
same 'what won', other.get('a'), 'ONE!'

same 'incr of nothing', client.incr('nothing', 1), nil
same 'incr that creates', client.incr('number', 5, 100, 10), 10
same 'incr', client.incr('number', 5), 15
same 'decr', client.decr('number', 20), 0
same 'touch', client.touch('a', 100), true
same 'delete', client.delete('a') ? true : false, true
same 'delete of nothing', client.delete('a') ? true : false, false

client.set('short', 'x', 1)
sleep 2.6
same 'get of what has expired', client.get('short'), nil

large = "\x00\xFF\r\nEND\r\n0123456789".b * 50_000
client.set('large', large, 100, raw: true)
same 'get of a large value', client.get('large'), large
client.set('k' * 250, 'x')
same 'get of a key of 250', client.get('k' * 250), 'x'

many = (0...200).to_h { |number| ["many-#{number}", number.to_s * (number % 100)] }
client.multi { many.each { |key, text| client.set(key, text) } }
same 'get of many', client.get_multi(*many.keys), many
same 'stats', client.stats.values.first.key?('curr_items'), true

unless ENV['RESTART'].to_s.empty?
  system(ENV['RESTART']) || abort('no restart')
  again = nil
  100.times do
    again = (client.set('again', 'x') && client.get('again')) rescue nil
    break if again == 'x'

    sleep 0.1
  end
  same 'after a restart', again, 'x'
end
