-- The registry: what is declared and applied, where it runs, and the hashes of its tokens.
-- Times are RFC 3339 in UTC with six decimals, so that text order is time order.

create table challenges (
    id text not null primary key,
    slug text not null unique,
    name text not null,
    description text,
    status text not null default 'draft' check (status in ('active', 'inactive', 'disabled', 'draft')),
    -- An exact decimal: SQLite's numbers are binary.
    emission_percent text not null default '0',
    version text not null,
    api_version text not null default '1.0',
    image text not null,
    internal_base_url text not null,
    spec text not null default '{}' check (json_valid(spec)),
    -- The commit or content digest that declared the row.
    revision text not null,
    created_at text not null,
    updated_at text not null
) strict;

create index challenges_status on challenges (status);
create index challenges_slug_status on challenges (slug, status);

create table kubernetes_targets (
    id text not null primary key,
    mode text not null,
    enabled integer not null check (enabled in (0, 1)),
    draining integer not null check (draining in (0, 1)),
    verify_tls integer not null check (verify_tls in (0, 1)),
    gpu_count integer not null check (gpu_count >= 0),
    spec text not null default '{}' check (json_valid(spec)),
    revision text not null,
    created_at text not null,
    updated_at text not null
) strict;

-- No reference to challenges: a token row may be written before its challenge's row.
create table challenge_tokens (
    slug text not null primary key,
    token_hash text not null check (length(token_hash) = 64),
    token_hint text not null,
    broker_token_hash text not null check (length(broker_token_hash) = 64),
    broker_token_hint text not null,
    revision text not null,
    created_at text not null,
    updated_at text not null
) strict;

create table target_assignments (
    slug text not null primary key,
    target text not null,
    gpu_count integer not null check (gpu_count >= 0),
    revision text not null,
    assigned_at text not null
) strict;

create index target_assignments_target on target_assignments (target);
