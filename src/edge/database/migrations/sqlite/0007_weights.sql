-- The weight vectors that were published, as they were served.

create table weight_snapshots (
    id integer primary key autoincrement,
    netuid integer not null,
    computed_at text not null,
    expires_at text not null,
    revision text not null,
    metagraph_block integer,
    metagraph_updated_at text not null,
    inputs_digest text not null,
    document text not null,
    explanation text not null
) strict;

create unique index weight_snapshots_newest on weight_snapshots (netuid, computed_at desc);
