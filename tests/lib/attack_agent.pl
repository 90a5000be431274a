#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Runs in the agent, as its root: the attacks of a plan (attack_bytes.py), many at a time. Prints "id answer", the answer
# in hexadecimal, nothing for silence.  attack_agent.pl DIR [SECONDS] [ID-PATTERN]
use strict;
use warnings;
use Errno qw(EINPROGRESS EAGAIN);
use IO::Select;
use IO::Handle;
use Socket;
use Time::HiRes qw(time);

my ($dir, $limit, $only) = ($ARGV[0], $ARGV[1] // 4, $ARGV[2] // ".*");
$SIG{PIPE} = 'IGNORE';
open(my $plan, '<', "$dir/plan") or die "plan: $!";
my @jobs = grep { $_->{id} =~ /^(?:$only)$/ } map { chomp; my @f = split /\t/; { id => $f[0], kind => $f[1], addr => $f[2], port => $f[3], got => '' } } <$plan>;

sub begin {
	my $j = shift;
	my $udp = $j->{kind} eq 'udp';
	open(my $f, '<:raw', "$dir/$j->{id}") or die "$j->{id}: $!";
	local $/;
	$j->{data} = <$f> // '';
	socket($j->{fd}, PF_INET, $udp ? SOCK_DGRAM : SOCK_STREAM, 0) or return;
	$j->{fd}->blocking(0);
	setsockopt($j->{fd}, SOL_SOCKET, SO_BROADCAST, 1);
	connect($j->{fd}, pack_sockaddr_in($j->{port}, inet_aton($j->{addr}))) or $! == EINPROGRESS or return;
	$j->{until} = time() + $limit;
	return 1;
}

sub writable {
	my $j = shift;
	if ($j->{kind} eq 'connect') {
		$j->{got} = 'connected' if getpeername($j->{fd});
		return 0;
	}
	my $n = syswrite($j->{fd}, $j->{data});
	return $! == EAGAIN unless defined $n;
	substr($j->{data}, 0, $n) = '';
	shutdown($j->{fd}, 1) if $j->{data} eq '' && $j->{kind} eq 'tcp';
	return 1;
}

sub readable {
	my $j = shift;
	my $n = sysread($j->{fd}, my $part, 65536);
	return $! == EAGAIN unless defined $n;
	$j->{got} .= $part;
	return $n > 0 && $j->{kind} ne 'udp' && length($j->{got}) < 4000;
}

my @wait = @jobs;
my %live;
while (@wait || %live) {
	while (@wait && keys %live < 48) {
		my $j = shift @wait;
		$live{fileno $j->{fd}} = $j if begin($j);
	}
	my $r = IO::Select->new(map { $_->{kind} eq 'connect' ? () : $_->{fd} } values %live);
	my $w = IO::Select->new(map { $_->{data} ne '' || $_->{kind} eq 'connect' ? $_->{fd} : () } values %live);
	my ($rs, $ws) = IO::Select->select($r, $w, undef, 0.2);
	my %over;
	for my $fd (@{ $rs // [] }) { $over{fileno $fd} = 1 unless readable($live{fileno $fd}) }
	for my $fd (@{ $ws // [] }) { $over{fileno $fd} = 1 unless $over{fileno $fd} || writable($live{fileno $fd}) }
	for my $no (keys %live) {
		next unless $over{$no} || time() > $live{$no}{until};
		close($live{$no}{fd});
		delete $live{$no};
	}
}
print "$_->{id} ", unpack('H*', substr($_->{got}, 0, 4000)), "\n" for @jobs;
