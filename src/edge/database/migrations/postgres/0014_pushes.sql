-- Pushes that git hosts announced, each by the digest of what was sent: one that comes again is none. They wake whoever
-- follows the source.

create table pushes (
    number bigint generated always as identity primary key,
    digest text not null unique,
    at timestamptz not null
);
