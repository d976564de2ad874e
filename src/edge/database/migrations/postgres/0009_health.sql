-- How each challenge was found when it was last asked how it is and what it is, by who computes weights.

create table challenge_health (
    slug text not null primary key,
    fitness text not null,
    why text not null,
    since timestamptz not null,
    asked_at timestamptz not null,
    holds_until timestamptz not null,
    version text not null
);
