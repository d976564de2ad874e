-- Pushes that git hosts announced, each by the digest of what was sent: one that comes again is none. They wake whoever
-- follows the source.

create table pushes (
    number integer primary key autoincrement,
    digest text not null unique,
    at text not null
) strict;
