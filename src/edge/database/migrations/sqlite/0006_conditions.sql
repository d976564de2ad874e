-- What is true of each challenge, since when and why, as the controller that keeps it found it.

create table challenge_conditions (
    slug text not null,
    type text not null,
    status text not null,
    reason text not null,
    message text not null,
    since text not null,
    revision text not null,
    primary key (slug, type)
) strict;

-- How far those have come that are on their way.
create table challenge_progress (
    slug text not null primary key,
    keys_left integer not null,
    moved_at text not null
) strict;
