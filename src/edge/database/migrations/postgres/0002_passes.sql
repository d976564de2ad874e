-- The history of passes, and the digests that mutable tags were resolved to.

create table passes (
    id bigint generated always as identity primary key,
    started_at timestamptz not null,
    finished_at timestamptz not null,
    source text not null,
    revision_digest text not null,
    commit_id text,
    commit_subject text,
    actor text not null,
    plan_digest text not null,
    outcome text not null,
    counts jsonb not null,
    key_count bigint not null
);

create table pass_keys (
    pass_id bigint not null references passes (id) on delete cascade,
    seq bigint not null,
    key text not null,
    slug text,
    action text not null,
    outcome text not null,
    why text,
    primary key (pass_id, seq)
);

create table image_digests (
    image text not null primary key,
    digest text not null,
    revision text not null,
    resolved_at timestamptz not null
);

create index image_digests_resolved_at on image_digests (resolved_at);
