-- The registry: what is declared and applied, where it runs, and the hashes of its tokens.

create table challenges (
    id uuid not null primary key default gen_random_uuid(),
    slug text not null unique,
    name text not null,
    description text,
    status varchar not null default 'draft' check (status in ('active', 'inactive', 'disabled', 'draft')),
    emission_percent numeric(8, 4) not null default 0,
    version text not null,
    api_version text not null default '1.0',
    image text not null,
    internal_base_url text not null,
    spec jsonb not null default '{}',
    -- The commit or content digest that declared the row.
    revision text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create index challenges_status on challenges (status);
create index challenges_slug_status on challenges (slug, status);

create table kubernetes_targets (
    id text not null primary key,
    mode text not null,
    enabled boolean not null,
    draining boolean not null,
    verify_tls boolean not null,
    gpu_count bigint not null check (gpu_count >= 0),
    spec jsonb not null default '{}',
    revision text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- No reference to challenges: a token row may be written before its challenge's row.
create table challenge_tokens (
    slug text not null primary key,
    token_hash text not null check (length(token_hash) = 64),
    token_hint text not null,
    broker_token_hash text not null check (length(broker_token_hash) = 64),
    broker_token_hint text not null,
    revision text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table target_assignments (
    slug text not null primary key,
    target text not null,
    gpu_count bigint not null check (gpu_count >= 0),
    revision text not null,
    assigned_at timestamptz not null default now()
);

create index target_assignments_target on target_assignments (target);
