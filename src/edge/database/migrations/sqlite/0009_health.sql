-- How each challenge was found when it was last asked how it is and what it is, by who computes weights.

create table challenge_health (
    slug text not null primary key,
    fitness text not null,
    why text not null,
    since text not null,
    asked_at text not null,
    holds_until text not null,
    version text not null
) strict;
