# The scenario with Cache::Memcached::Fast.
use strict;
use warnings;
use Cache::Memcached::Fast;

sub same {
    my ($what, $found, $expected) = @_;
    my ($shown, $wanted) = map { defined ? substr($_, 0, 200) : 'undef' } $found, $expected;
    return if defined $found == defined $expected && (!defined $found || $found eq $expected);
    die "FAILED: $what: found $shown, expected $wanted\n";
}

sub connect_to {
    return Cache::Memcached::Fast->new({
        servers => [$ARGV[0]], io_timeout => 30, connect_timeout => 30, max_failures => 0, max_size => 1 << 20,
    });
}

my ($client, $other) = (connect_to(), connect_to());
same('flush_all', $client->flush_all->{$ARGV[0]}, 1);
same('get of nothing', $client->get('a'), undef);
same('set', $client->set('a', 'one'), 1);
same('get', $client->get('a'), 'one');
same('add of what is there', $client->add('a', 'x'), '');
same('replace of nothing', $client->replace('c', 'x'), '');
same('append', $client->append('a', '!'), 1);

my ($first, $second) = ($client->gets('a'), $other->gets('a'));
same('gets', $first->[1], 'one!');
same('cas', $client->cas('a', $first->[0], 'ONE'), 1);
same('cas of who was late', $other->cas('a', $second->[0], 'x'), '');

same('set of a number', $client->set('number', 10), 1);
same('incr', $client->incr('number', 5), 15);
same('decr', $client->decr('number', 20) + 0, 0);
same('touch', $client->touch('a', 100), 1);
same('delete', $client->delete('a'), 1);
same('delete of nothing', $client->delete('a'), '');

same('set for a second', $client->set('short', 'x', 1), 1);
select(undef, undef, undef, 2.6);
same('get of what has expired', $client->get('short'), undef);

my $large = "\x00\xFF\r\nEND\r\n0123456789" x 50_000;
same('set of a large value', $client->set('large', $large), 1);
same('get of a large value', $client->get('large'), $large);
same('a key of 250', $client->set('k' x 250, 'x'), 1);
same('get of a key of 250', $client->get('k' x 250), 'x');

my %many = map { ("many-$_" => $_ x ($_ % 100 + 1)) } 0 .. 199;
my $stored = $client->set_multi(map { [$_, $many{$_}] } keys %many);
same('set of many', scalar(grep { $_ } values %$stored), 200);
my $found = $client->get_multi(keys %many);
same('get of many', scalar(keys %$found), 200);
same("get of $_", $found->{$_}, $many{$_}) for keys %many;

if ($ENV{RESTART}) {
    same('a restart', system($ENV{RESTART}), 0);
    for (1 .. 100) {
        last if $client->set('again', 'x');
        select(undef, undef, undef, 0.1);
    }
    same('after a restart', $client->get('again'), 'x');
}
