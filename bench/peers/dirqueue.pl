# IPC::DirQueue: dirqueue.pl DIRECTORY SIZE. Speaks as rawqueue.c does; "move" goes to a second queue.
use strict;
use warnings;
use IPC::DirQueue;
use Time::HiRes qw(time);

my ($base, $size) = @ARGV;
my ($first, $second) = map { IPC::DirQueue->new({ dir => "$base/$_", ordered => 0 }) } qw(first second);
my $job = 'x' x $size;

sub take {
    my ($queue) = @_;
    my $claim = $queue->pickup_queued_job() or die "empty\n";
    open(my $file, '<', $claim->get_data_path()) or die $!;
    local $/;
    my $data = <$file>;
    close $file;
    return ($claim, $data);
}

my %deeds = (
    put   => sub { $first->enqueue_string($job) or die "not put\n" },
    drop  => sub { (take($first))[0]->finish() },
    clear => sub { (take($second))[0]->finish() },
    move  => sub {
        my ($claim, $data) = take($first);
        $second->enqueue_string($data) or die "not put\n";
        $claim->finish();
    },
);

$| = 1;
while (my $line = <STDIN>) {
    my ($word, $count) = split ' ', $line;
    my $begin = time;
    $deeds{$word}->() for 1 .. $count;
    printf "%.9f\n", time - $begin;
}
