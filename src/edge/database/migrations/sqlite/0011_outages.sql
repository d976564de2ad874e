-- Why there is no newer weight vector of a subnet, as whoever computes weights found. Gone with the next vector.

create table weight_outages (
    netuid integer not null primary key,
    outage text not null,
    since text not null
) strict;
