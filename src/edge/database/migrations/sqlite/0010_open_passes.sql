-- Passes that were begun and are not recorded yet: one row for each part of one, written before its first write to
-- anything else, and deleted with its record. What is left of an earlier turn belongs to a pass that never ended.

create table open_passes (
    -- The turn it was begun in, and its number among those of the process whose turn that was.
    token integer not null,
    part integer not null,
    -- What its parts have in common.
    head text not null check (json_valid(head)),
    plan_digest text not null,
    keys text not null check (json_valid(keys)),
    key_count integer not null,
    primary key (token, part)
) strict, without rowid;
