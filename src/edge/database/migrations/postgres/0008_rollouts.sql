-- What came of new images: which one of a challenge was ready last, and which is not tried again.

create table rollouts (
    slug text not null primary key,
    good text,
    failed jsonb,
    updated_at timestamptz not null
);

create index rollouts_updated_at on rollouts (updated_at);
