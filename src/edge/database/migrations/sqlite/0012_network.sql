-- The network as the declaration that was read last names it, in one row: what a process that serves weights and the
-- registry goes by when it starts while the source of the declaration is away. It decides nothing.

create table known_network (
    is_only integer not null primary key default 1 check (is_only = 1),
    netuid integer not null,
    chain_endpoint text not null,
    name text not null,
    master_uid integer not null,
    read_at text not null
) strict;
