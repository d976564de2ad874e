-- What came of new images: which one of a challenge was ready last, and which is not tried again.

create table rollouts (
    slug text not null primary key,
    good text,
    failed text check (failed is null or json_valid(failed)),
    updated_at text not null
) strict;

create index rollouts_updated_at on rollouts (updated_at);
