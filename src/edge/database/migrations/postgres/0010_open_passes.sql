-- Passes that were begun and are not recorded yet: one row for each part of one, written before its first write to
-- anything else, and deleted with its record. What is left of an earlier turn belongs to a pass that never ended.

create table open_passes (
    -- The turn it was begun in, and its number among those of the process whose turn that was.
    token bigint not null,
    part bigint not null,
    -- What its parts have in common.
    head jsonb not null,
    plan_digest text not null,
    keys jsonb not null,
    key_count bigint not null,
    primary key (token, part)
);
