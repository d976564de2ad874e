-- The weight vectors that were published, as they were served.

create table weight_snapshots (
    id bigint generated always as identity primary key,
    netuid integer not null,
    computed_at timestamptz not null,
    expires_at timestamptz not null,
    revision text not null,
    metagraph_block bigint,
    metagraph_updated_at timestamptz not null,
    inputs_digest text not null,
    -- As json, and not as jsonb, it stays the same to the byte.
    document json not null,
    explanation json not null
);

create unique index weight_snapshots_newest on weight_snapshots (netuid, computed_at desc);
