-- Acts that are no declarations, with who, when and what came of them, and the challenges that are suspended.

create table suspensions (
    slug text not null primary key,
    why text not null,
    actor text not null,
    since text not null
) strict;

create table acts (
    id integer primary key autoincrement,
    kind text not null,
    slug text,
    why text,
    actor text not null,
    at text not null,
    -- Missing while no controller has taken it up.
    outcome text,
    ended_at text
) strict;

create index acts_pending on acts (id) where outcome is null;
