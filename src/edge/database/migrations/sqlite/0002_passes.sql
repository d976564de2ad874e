-- The history of passes, and the digests that mutable tags were resolved to.

create table passes (
    -- autoincrement: a pruned id is never given again.
    id integer primary key autoincrement,
    started_at text not null,
    finished_at text not null,
    source text not null,
    revision_digest text not null,
    commit_id text,
    commit_subject text,
    actor text not null,
    plan_digest text not null,
    outcome text not null,
    counts text not null check (json_valid(counts)),
    key_count integer not null
) strict;

create table pass_keys (
    pass_id integer not null references passes (id) on delete cascade,
    seq integer not null,
    key text not null,
    slug text,
    action text not null,
    outcome text not null,
    why text,
    primary key (pass_id, seq)
) strict, without rowid;

create table image_digests (
    image text not null primary key,
    digest text not null,
    revision text not null,
    resolved_at text not null
) strict;

create index image_digests_resolved_at on image_digests (resolved_at);
